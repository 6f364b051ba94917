"""Gene tables: one per organism, protein-coding genes in a fixed order; and the mapping of anybody's gene names to them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from scprint2.data.gene_sources import VERSION, read_aliases, read_factors, read_raw
from scprint2.data.orthologs import read_families
from scprint2.data.vocabulary import GeneVocabulary
from scprint2.files import atomic_path

COLUMNS = ("gene_id", "symbol", "aliases", "biotype", "chromosome", "start", "location", "family", "is_tf")
LOCATION_STEP_BP = 10_000  # Methods, "gene location": genes that start within 10 kb of the one before share an index


@dataclass(frozen=True)
class GeneTable:
    """The protein-coding genes of one organism.

    Attributes
    ----------
    organism
        NCBITaxon id.
    frame
        One row per gene with the columns `COLUMNS`; `aliases` joined by "|", `location` the index on the genome.
    """

    organism: str
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def lookups(self) -> tuple[dict[str, int], ...]:
        """Name to row for ids, symbols, aliases, and names without case; -1 marks a name of several genes."""
        ids = self.frame["gene_id"].tolist()
        symbols = self.frame["symbol"].tolist()
        aliases = [(alias, row) for row, text in enumerate(self.frame["aliases"]) for alias in text.split("|") if alias]
        by_symbol = _lookup(zip(symbols, range(len(symbols)), strict=True))
        folded = _lookup((fold_case(name), row) for name, row in by_symbol.items() if row >= 0)
        return {gene: row for row, gene in enumerate(ids)}, by_symbol, _lookup(aliases), folded

    @cached_property
    def id_form(self) -> re.Pattern[str]:
        """What the gene ids of this organism look like, with or without version."""
        prefixes = {VERSION.sub("", gene).rstrip("0123456789") for gene in self.frame["gene_id"]} - {""}
        return re.compile(rf"({'|'.join(map(re.escape, sorted(prefixes)))})[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class GeneMapping:
    """Where each given name stands in a gene table.

    Attributes
    ----------
    index
        Row in the gene table, -1 for a name that has none.
    report
        One row per name: `name`, `status`, `by` (id, symbol, alias, case), `gene_id`. A name is mapped, ambiguous (it stands
        for several genes), dropped (an id of this organism, not of a protein-coding gene) or unknown.
    """

    index: Int[np.ndarray, " name"]
    report: pd.DataFrame

    @property
    def mapped_share(self) -> float:
        """Share of the names that were mapped, leaving out ids of genes that are not protein coding."""
        wanted = self.report["status"].to_numpy() != "dropped"
        return float((self.index[wanted] >= 0).mean()) if wanted.any() else 0.0


def build_gene_table(
    raw_path: str | Path,
    *,
    organism: str,
    aliases: str | Path | None = None,
    transcription_factors: str | Path | None = None,
    families: str | Path | None = None,
) -> GeneTable:
    """Normalize a raw gene table: keep protein-coding genes, index locations over all genes, mark TFs and families.

    Reads a tab- or comma-separated table with a header (`gene_sources.RAW_NAMES`), a CELLxGENE gene table, which has none, or an
    Ensembl GTF file.
    Without coordinates every location is 0. `aliases` is a table of NCBI Gene (gene_info). `transcription_factors` holds one id
    or symbol per line, or is a table of AnimalTFDB or PlantTFDB; a name that is neither counts where it is an alias of one gene.
    `families` holds the columns `gene_id` and `family`, or pairs of ids that are joined into families.

    Raises
    ------
    ValueError
        If a needed column is missing, an id is given twice, no gene is protein coding, or a table fits no gene.
    """
    raw = read_raw(Path(raw_path))
    raw["location"] = genome_locations(raw["chromosome"].tolist(), raw["start"].to_numpy())
    frame = raw.loc[raw["biotype"] == "protein_coding"].reset_index(drop=True)
    if frame.empty:
        found = sorted(set(raw["biotype"]))[:10]
        raise ValueError(f"{raw_path}: no gene of biotype 'protein_coding'; found {found}. Give a whole Ensembl table.")
    if aliases:
        frame["aliases"] = _aliases(frame, Path(aliases))
    if transcription_factors:
        frame["is_tf"] = _is_factor(GeneTable(organism, frame), Path(transcription_factors))
    named = read_families(families) if families else dict(zip(frame["gene_id"], frame["family"], strict=True))
    frame["family"] = [named.get(gene) or gene for gene in frame["gene_id"]]
    return GeneTable(organism, frame.loc[:, list(COLUMNS)])


def genome_locations(chromosomes: Sequence[str], starts: Int[np.ndarray, " gene"]) -> Int[np.ndarray, " gene"]:
    """Index of each gene on the genome: genes sorted by (chromosome, start), one step up where the next starts > 10 kb on.

    A chromosome starts a new index as well. A gene with a negative start has no coordinates and gets index 0.

    Source: Methods, "gene location".
    """
    position = {name: code for code, name in enumerate(sorted(set(chromosomes), key=_natural))}
    codes = np.array([position[name] for name in chromosomes], dtype=np.int64)
    known = starts >= 0
    order = np.lexsort((starts, codes))
    order = order[known[order]]
    jumps = (np.diff(codes[order]) != 0) | (np.diff(starts[order]) > LOCATION_STEP_BP)
    locations = np.zeros(len(starts), dtype=np.int64)
    locations[order] = np.concatenate([[0], np.cumsum(jumps)]) if len(order) else 0
    return locations


def write_gene_table(table: GeneTable, path: str | Path) -> None:
    """Write a normalized gene table (tab-separated) atomically."""
    frame = table.frame.assign(is_tf=table.frame["is_tf"].astype(int))
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, sep="\t", index=False)


def read_gene_table(path: str | Path, *, organism: str) -> GeneTable:
    """Read what `write_gene_table` wrote.

    Raises
    ------
    ValueError
        If the columns are not those of a normalized gene table.
    """
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if tuple(frame.columns) != COLUMNS:
        raise ValueError(
            f"{path}: columns are {list(frame.columns)}, expected {list(COLUMNS)}. Build it from a raw table."
        )
    frame = frame.astype({"start": np.int64, "location": np.int64})
    return GeneTable(organism, frame.assign(is_tf=frame["is_tf"] == "1"))


def fold_case(name: str) -> str:
    """Return a name without case, and with "-" for the "." that R puts in its place."""
    return name.upper().replace(".", "-")


def map_genes(names: Sequence[str], table: GeneTable, *, minimum_mapped: float = 0.0) -> GeneMapping:
    """Map gene ids (with or without version), symbols and aliases to rows of a gene table.

    Names that match only when case is ignored count if they are few; else they are another organism's. A name of several genes
    is ambiguous and not mapped.

    Raises
    ------
    ValueError
        If a smaller share than `minimum_mapped` of the names can be mapped.
    """
    index = np.full(len(names), -1, dtype=np.int64)
    by = np.full(len(names), "", dtype=object)
    ambiguous = np.zeros(len(names), dtype=bool)
    ids, symbols, aliases, folded = table.lookups
    clean = [name.strip() for name in names]
    steps = (("id", ids, clean), ("id", ids, [VERSION.sub("", name) for name in clean]))
    steps += (("symbol", symbols, clean), ("alias", aliases, clean), ("case", folded, [fold_case(n) for n in clean]))
    for kind, lookup, keys in steps:
        if kind == "case" and not _may_ignore_case(keys, folded, index):
            continue
        for row in np.flatnonzero((index < 0) & ~ambiguous):
            found = lookup.get(keys[row])
            if found is not None:
                index[row], by[row], ambiguous[row] = found, kind, found < 0
    dropped = np.array([bool(table.id_form.fullmatch(name)) for name in clean], dtype=bool) & (index < 0)
    status = np.select([index >= 0, ambiguous, dropped], ["mapped", "ambiguous", "dropped"], "unknown")
    gene_ids = np.where(index >= 0, table.frame["gene_id"].to_numpy()[index], "")
    report = pd.DataFrame({"name": clean, "status": status, "by": by, "gene_id": gene_ids})
    mapping = GeneMapping(index, report)
    if mapping.mapped_share < minimum_mapped:
        raise ValueError(_too_few(clean, mapping, table, minimum_mapped))
    return mapping


def build_gene_vocabulary(tables: Iterable[GeneTable]) -> GeneVocabulary:
    """Put the genes of several organisms one after the other, in the order given."""
    columns = ["gene_id", "symbol", "location", "family", "is_tf"]
    parts = []
    for table in tables:
        part = table.frame[columns].copy()
        part.insert(0, "organism", table.organism)
        parts.append(part)
    return GeneVocabulary(pd.concat(parts, ignore_index=True))


def _lookup(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, row in pairs:
        if name:
            found[name] = row if found.get(name, row) == row else -1
    return found


def _may_ignore_case(keys: list[str], folded: dict[str, int], index: np.ndarray) -> bool:
    """True where few names match only without case; many of them are another organism's (human GCG, mouse Gcg)."""
    left = sum(folded.get(keys[row], -1) >= 0 for row in np.flatnonzero(index < 0))
    return left <= 0.1 * int((index >= 0).sum())


def _too_few(names: list[str], mapping: GeneMapping, table: GeneTable, minimum: float) -> str:
    unknown = mapping.report.loc[mapping.report["status"] == "unknown", "name"].tolist()[:5]
    ids, symbols, _, folded = table.lookups
    share = sum(fold_case(name) in folded for name in names) / max(len(names), 1)
    hint = "Give Ensembl gene ids or official symbols as var_names, or in a column such as var['ensembl_id']."
    if share >= minimum:
        hint = f"{share:.0%} match when case is ignored: are these the genes of another organism? Check the registry's organism."
    return (
        f"{mapping.mapped_share:.1%} of {len(names)} gene names (non-coding ids left out) are protein-coding genes of "
        f"{table.organism}, at least "
        f"{minimum:.0%} are needed. Not found: {unknown}; known are {list(ids)[:2]} and {list(symbols)[:2]}. {hint}"
    )


def _aliases(frame: pd.DataFrame, path: Path) -> list[str]:
    """Aliases of each gene without its own id and symbol, joined by "|"; those that the raw table has stay."""
    by_id, by_symbol = read_aliases(path)
    merged, found = [], 0
    for gene, symbol, own in zip(frame["gene_id"], frame["symbol"], frame["aliases"], strict=True):
        given = by_id.get(gene) or by_symbol.get(symbol) or ()
        found += bool(given)
        names = (name for name in (*own.split("|"), *given) if name not in {"", gene, symbol})
        merged.append("|".join(dict.fromkeys(names)))
    if not found:
        genes = frame["gene_id"].tolist()[:2]
        raise ValueError(f"{path}: names none of the genes, such as {genes}. Give the table of this organism.")
    return merged


def _is_factor(table: GeneTable, path: Path) -> Bool[np.ndarray, " gene"]:
    """Genes that a list of transcription factors names, by id or symbol, else by an alias of theirs alone."""
    names = read_factors(path)
    ids, symbols, aliases, _ = table.lookups
    genes = zip(table.frame["gene_id"], table.frame["symbol"], strict=True)
    marked = np.array([gene in names or symbol in names for gene, symbol in genes])
    rows = [aliases.get(name, -1) for name in names - ids.keys() - symbols.keys()]
    marked[[row for row in rows if row >= 0]] = True
    if not marked.any():
        genes, found = table.frame["gene_id"].tolist()[:2], sorted(names)[:3]
        raise ValueError(
            f"{path}: names none of the genes, such as {genes}; it names {found}. Give the list of this organism."
        )
    return marked


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdigit() else (1, 0, name)
