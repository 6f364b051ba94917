"""Known regulatory networks, as edges between the genes of a gene table."""

import csv
import gzip
import io
from pathlib import Path

import pandas as pd

from scprint2.data.genes import GeneTable, map_genes

HEADERS = (("regulator", "target"), ("source", "target"), ("tf", "target"))
MINIMUM_MAPPED = 0.3  # least share of the edges whose two ends must be known genes


def read_truth(path: str | Path, table: GeneTable) -> pd.DataFrame:
    """Read the edges of a network, regulator and target as gene ids of the table; each edge once, none from a gene to itself.

    Reads tab- or comma-separated text, gzipped or not: with a header that names `regulator` (or `source`, `tf`) and `target`, or
    without one, the first two columns. Genes are ids or symbols. `attrs` says how many edges were read, kept, and lost because a
    gene is not known.

    Raises
    ------
    ValueError
        If there are no two columns, or too few edges are between known genes.
    """
    rows = _read_rows(Path(path))
    named = _named_columns(rows[0]) if rows else None
    first, second = named or (0, 1)
    edges = rows[1:] if named else rows
    if not edges or any(len(row) <= max(first, second) for row in edges):
        raise ValueError(
            f"{path}: needs a regulator and a target in each line (tab or comma between them); first: {rows[:2]}."
        )
    regulators, targets = [row[first] for row in edges], [row[second] for row in edges]
    names = list(dict.fromkeys(regulators + targets))
    mapping = map_genes(names, table)
    gene_ids = dict(zip(names, mapping.report["gene_id"], strict=True))
    found = pd.DataFrame(
        {"regulator": [gene_ids[name] for name in regulators], "target": [gene_ids[name] for name in targets]}
    )
    known = (found["regulator"] != "") & (found["target"] != "")
    if known.mean() < MINIMUM_MAPPED:
        unknown = [name for name in names if gene_ids[name] == ""][:5]
        raise ValueError(
            f"{path}: {known.mean():.1%} of {len(found)} edges are between protein-coding genes of {table.organism}, at least "
            f"{MINIMUM_MAPPED:.0%} are needed; not found: {unknown}. Is it another organism's network?"
        )
    kept = found.loc[known & (found["regulator"] != found["target"])].drop_duplicates().reset_index(drop=True)
    kept.attrs = {"edges_read": len(found), "edges_kept": len(kept), "edges_unknown": int((~known).sum())}
    return kept


def _read_rows(path: Path) -> list[list[str]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    return [[field.strip() for field in row] for row in csv.reader(io.StringIO(text), delimiter=separator) if row]


def _named_columns(header: list[str]) -> tuple[int, int] | None:
    names = [name.lower() for name in header]
    return next(((names.index(a), names.index(b)) for a, b in HEADERS if a in names and b in names), None)
