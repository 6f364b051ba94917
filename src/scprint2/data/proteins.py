"""One protein per gene, from a FASTA file of all proteins of an organism."""

import gzip
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from scprint2.data.gene_sources import VERSION
from scprint2.files import atomic_path

ATTRIBUTE = re.compile(r"\b(gene|transcript|transcript_biotype):(\S+)")
RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWYBUZOX")  # the alphabet of ESM2; anything else is an unknown residue, X
COLUMNS = ("gene_id", "protein_id", "chosen", "sequence")


@dataclass(frozen=True)
class Protein:
    """One entry of a FASTA file; ids without version, residues in the alphabet of ESM2."""

    gene: str
    protein: str
    transcript: str
    coding: bool
    sequence: str


@dataclass(frozen=True)
class Proteins:
    """The protein that stands for each gene.

    Attributes
    ----------
    table
        `gene_id`, `protein_id`, `chosen` (canonical or longest), `sequence`; in the order of the genes.
    missing
        Genes that the FASTA file has no protein of.
    """

    table: pd.DataFrame
    missing: tuple[str, ...]


def read_fasta(path: str | Path) -> Iterator[Protein]:
    """Proteins of a FASTA file (plain or gzip): Ensembl's *.pep.all.fa, or entries that are called >gene or >gene|anything.

    Raises
    ------
    ValueError
        If the file does not begin with an entry, or an entry has no residues.
    """
    path = Path(path)
    header, lines = "", []
    with gzip.open(path, "rt") if path.name.endswith(".gz") else path.open() as file:
        for line in file:
            if line.startswith(">"):
                if header:
                    yield _protein(header, lines, path)
                header, lines = line[1:].strip(), []
            elif header:
                lines.append(line.strip())
            elif line.strip():
                raise ValueError(f"{path}: begins with {line[:40]!r}, not with '>'. Give a FASTA file of proteins.")
    if not header:
        raise ValueError(f"{path}: holds no protein. Give a FASTA file of proteins.")
    yield _protein(header, lines, path)


def choose_proteins(entries: Iterator[Protein], *, genes: Collection[str], canonical: Collection[str]) -> Proteins:
    """Take one protein per gene: that of Ensembl's canonical transcript, else the longest one (D82).

    Without a canonical one, proteins of protein-coding transcripts are preferred; of equally long ones the smaller id counts.
    `canonical` holds transcript ids without version.

    Raises
    ------
    ValueError
        If no protein is one of the genes'.
    """
    wanted = {VERSION.sub("", gene): gene for gene in genes}
    best: dict[str, tuple[tuple[bool, bool, int], Protein]] = {}
    example = ""
    for entry in entries:
        example = example or entry.gene
        if entry.gene not in wanted:
            continue
        rank = (entry.transcript in canonical, entry.coding, len(entry.sequence))
        known = best.get(entry.gene)
        if known is None or rank > known[0] or (rank == known[0] and entry.protein < known[1].protein):
            best[entry.gene] = (rank, entry)
    if not best:
        raise ValueError(
            f"no protein is one of the {len(wanted)} genes ({list(wanted)[:2]}); the file has genes such as {example!r}. "
            "Give the proteins of the same organism and release."
        )
    rows = [
        (gene, best[key][1].protein, "canonical" if best[key][0][0] else "longest", best[key][1].sequence)
        for key, gene in wanted.items()
        if key in best
    ]
    table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
    return Proteins(table, tuple(gene for key, gene in wanted.items() if key not in best))


def write_proteins(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table of proteins (tab-separated), atomically."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False)


def read_proteins(path: str | Path) -> pd.DataFrame:
    """Read what `write_proteins` wrote.

    Raises
    ------
    ValueError
        If the columns are others, a gene is given twice, or a sequence is empty.
    """
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path}: columns are {list(table.columns)}, expected {list(COLUMNS)}.")
    bad = table.loc[table["gene_id"].duplicated() | (table["sequence"] == ""), "gene_id"].tolist()
    if bad:
        raise ValueError(
            f"{path}: {len(bad)} genes are given twice or have no sequence, such as {bad[0]!r}. Give one each."
        )
    return table


def _protein(header: str, lines: list[str], path: Path) -> Protein:
    sequence = "".join(lines).upper().rstrip("*")
    if not sequence:
        raise ValueError(f"{path}: protein {header[:60]!r} has no residues.")
    if not RESIDUES.issuperset(sequence):
        sequence = "".join(letter if letter in RESIDUES else "X" for letter in sequence)
    named = dict(ATTRIBUTE.findall(header))
    name = header.split()[0]
    gene = named.get("gene", name.split("|")[0])
    return Protein(
        gene=VERSION.sub("", gene),
        protein=VERSION.sub("", name.split("|")[-1]),
        transcript=named.get("transcript", "").partition(".")[0],
        coding=named.get("transcript_biotype", "protein_coding") == "protein_coding",
        sequence=sequence,
    )
