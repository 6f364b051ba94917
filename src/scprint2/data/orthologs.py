"""Orthologs between organisms: one-to-one pairs of Ensembl Compara, and the families that they make."""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from scprint2.files import atomic_path

PAIR = ("organism_a", "gene_a", "organism_b", "gene_b", "identity")
WANTED = (
    "gene_stable_id",
    "species",
    "identity",
    "homology_type",
    "homology_gene_stable_id",
    "homology_species",
    "homology_identity",
    "is_high_confidence",
)
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Families:
    """Ortholog families: at most one gene of each organism.

    Attributes
    ----------
    genes
        `gene_id`, `organism`, `family` of every gene that has an ortholog; a family is named after its first gene id.
    audit
        One row per pair of organisms: `pairs` (one-to-one, high confidence), `joined` (both genes are in one family), `refused`
        (joining would have put two genes of one organism into a family), `families` (that hold both organisms, also through
        third ones).
    """

    genes: pd.DataFrame
    audit: pd.DataFrame


def read_homologies(path: str | Path, *, species: Mapping[str, str]) -> pd.DataFrame:
    """One-to-one orthologs of high confidence from a Compara homology file, streamed; each pair once, as columns `PAIR`.

    `species` maps Ensembl's names (homo_sapiens) of the wanted organisms to their ids. `identity` is the mean of both sides in
    percent.

    Raises
    ------
    ValueError
        If the file lacks a column of Compara's format.
    """
    path = Path(path)
    with gzip.open(path, "rt") if path.name.endswith(".gz") else path.open() as file:
        header = file.readline().rstrip("\n").split("\t")
    missing = [name for name in WANTED if name not in header]
    if missing:
        raise ValueError(
            f"{path}: no columns {missing}; found {header}. Give Compara.*.protein_default.homologies.tsv.gz."
        )
    wanted = (pc.field("homology_type") == "ortholog_one2one") & (pc.field("is_high_confidence") == "1")
    for column in ("species", "homology_species"):
        wanted &= pc.field(column).isin(list(species))
    with pa.input_stream(str(path)) as stream, _open(stream) as reader:
        parts = [pa.Table.from_batches([batch]).filter(wanted).to_pandas() for batch in reader]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=pd.Index(WANTED))
    return _pairs(frame, species)


def build_families(pairs: pd.DataFrame) -> Families:
    """Join pairs of orthologs to families, the most similar pairs first.

    A pair that would put two genes of one organism into a family is refused and counted (D81). The order of the pairs given does
    not matter.
    """
    pairs = pairs.drop_duplicates(["gene_a", "gene_b"]).sort_values(
        ["identity", "gene_a", "gene_b"], ascending=[False, True, True]
    )
    organism = dict(zip(pairs["gene_a"], pairs["organism_a"], strict=True))
    organism |= dict(zip(pairs["gene_b"], pairs["organism_b"], strict=True))
    members: dict[str, dict[str, str]] = {gene: {organism[gene]: gene} for gene in organism}  # gene to its family
    refused = []
    for one, other in zip(pairs["gene_a"], pairs["gene_b"], strict=True):
        ours, theirs = members[one], members[other]
        if ours is theirs:
            continue
        if ours.keys() & theirs.keys():
            refused.append((one, other))
            continue
        small, large = sorted((ours, theirs), key=len)
        large.update(small)
        for gene in small.values():
            members[gene] = large
    genes = pd.DataFrame(
        [(gene, organism[gene], min(family.values())) for gene, family in sorted(members.items()) if len(family) > 1],
        columns=pd.Index(["gene_id", "organism", "family"]),
    )
    return Families(genes, _audit(pairs, genes, refused))


def write_families(families: Families, *, genes: Path, audit: Path) -> None:
    """Write families and their audit (tab-separated), atomically."""
    for frame, target in ((families.genes, genes), (families.audit, audit)):
        with atomic_path(target) as path:
            frame.to_csv(path, sep="\t", index=False)


def read_families(path: str | Path) -> dict[str, str]:
    """Gene id to family name, from a family table (`gene_id`, `family`) or from pairs of ids (two columns *_ensembl or *_id).

    Raises
    ------
    ValueError
        If the columns are neither.
    """
    path = Path(path)
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    if {"gene_id", "family"} <= set(table.columns):
        return dict(zip(table["gene_id"], table["family"], strict=True))
    ids = [column for column in table.columns if column.endswith("_ensembl") or column.endswith("_id")]
    if len(ids) != 2:
        raise ValueError(
            f"{path}: columns are {list(table.columns)}; give gene_id and family, or two columns of ids (*_ensembl, *_id)."
        )
    table = table.loc[(table[ids[0]] != "") & (table[ids[1]] != "")]
    pairs = pd.DataFrame({"organism_a": ids[0], "gene_a": table[ids[0]], "organism_b": ids[1], "gene_b": table[ids[1]]})
    genes = build_families(pairs.assign(identity=0.0)).genes
    return dict(zip(genes["gene_id"], genes["family"], strict=True))


def _open(stream: pa.NativeFile) -> pyarrow.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(WANTED), column_types=dict.fromkeys(WANTED, pa.string()), strings_can_be_null=False
        ),
    )


def _pairs(frame: pd.DataFrame, species: Mapping[str, str]) -> pd.DataFrame:
    """Put the pairs into one direction: the smaller organism id first."""
    sides = ("gene_stable_id", "species"), ("homology_gene_stable_id", "homology_species")
    (gene_a, organism_a), (gene_b, organism_b) = ((frame[gene], frame[name].map(species.get)) for gene, name in sides)
    identity = (frame["identity"].astype(float) + frame["homology_identity"].astype(float)) / 2
    swap = organism_a > organism_b
    pairs = pd.DataFrame(
        {
            "organism_a": organism_a.where(~swap, organism_b),
            "gene_a": gene_a.where(~swap, gene_b),
            "organism_b": organism_b.where(~swap, organism_a),
            "gene_b": gene_b.where(~swap, gene_a),
            "identity": identity,
        }
    )
    return pairs.loc[organism_a != organism_b].drop_duplicates(["gene_a", "gene_b"]).reset_index(drop=True)


def _audit(pairs: pd.DataFrame, genes: pd.DataFrame, refused: Iterable[tuple[str, str]]) -> pd.DataFrame:
    family = dict(zip(genes["gene_id"], genes["family"], strict=True))
    together = [family.get(a) == family.get(b) for a, b in zip(pairs["gene_a"], pairs["gene_b"], strict=True)]
    lost = set(refused)
    out = [pair in lost for pair in zip(pairs["gene_a"], pairs["gene_b"], strict=True)]
    counts = pairs.assign(joined=together, refused=out).groupby(["organism_a", "organism_b"], sort=True)
    table = counts.agg(pairs=("gene_a", "size"), joined=("joined", "sum"), refused=("refused", "sum")).reset_index()
    shared: dict[tuple[str, str], int] = {}
    for _, members in genes.groupby("family")["organism"]:
        for pair in combinations(sorted(members), 2):
            shared[pair] = shared.get(pair, 0) + 1
    keys = zip(table["organism_a"], table["organism_b"], strict=True)
    return table.assign(families=[shared.get(tuple(sorted(key)), 0) for key in keys])
