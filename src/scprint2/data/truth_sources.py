"""Published networks as edges between gene names: p values of perturbations, NDEx networks, tables of edges, pairs of proteins.

Each converter yields regulator and target as published; `truth.read_truth` maps them to genes. Networks without direction
give each edge both ways. Nothing here asks a service.
"""

import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from scprint2.files import atomic_path

Edge = tuple[str, str]
HEADERS = (("regulator", "target"), ("source", "target"), ("tf", "target"))
ENSEMBL = re.compile(r"ENS[A-Z]*G[0-9]{11}")
SYMBOL_ASPECTS = ("name", "n")  # of a node of CX2: the attribute, or the alias that stands for it
CHUNK_ROWS = 256  # of a matrix of p values: 10,000 columns of it take 20 MB


def convert_truth(
    source: str | Path, target: str | Path, *, converter: str, cutoff: float | None, mapping: str | Path | None
) -> int:
    """Write a published network as a gzipped table of regulator and target, each edge once, and return the number of edges.

    Raises
    ------
    ValueError
        If the file is not of the kind that the converter reads, or gives no edge.
    """
    source = Path(source)
    symbols = read_symbols(Path(mapping)) if mapping else {}
    edges = dict.fromkeys(_CONVERTERS[converter](source, cutoff, symbols))
    if not edges:
        raise ValueError(
            f"{source}: no edges (converter {converter}, cutoff {cutoff}). Is it the file that the registry means?"
        )
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(("regulator", "target"))
    table.writerows(edges)
    with atomic_path(target) as path:
        path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return len(edges)


def read_symbols(path: Path) -> dict[str, str]:
    """Read UniProt's table of ids (accession, kind, id): accession to gene symbol.

    Source: https://ftp.uniprot.org/pub/databases/uniprot/current_release/knowledgebase/idmapping/README.

    Raises
    ------
    ValueError
        If no line names a gene.
    """
    symbols: dict[str, str] = {}
    with _open_text(path) as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if len(row) == 3 and row[1] == "Gene_Name":
                symbols.setdefault(row[0], row[2])
    if not symbols:
        raise ValueError(f"{path}: no line holds an accession, Gene_Name and a symbol. Is it UniProt's idmapping.dat?")
    return symbols


def read_edges(source: Path, cutoff: float | None, symbols: Mapping[str, str]) -> Iterator[Edge]:
    """Yield the edges of a table with a regulator and a target column (`regulator`, `source` or `tf`): csv, tsv or parquet."""
    del cutoff, symbols
    if source.read_bytes()[:4] == b"PAR1":
        import pyarrow.parquet

        names = pyarrow.parquet.read_schema(source).names
        first, second = _edge_columns(names, source)
        table = pyarrow.parquet.read_table(source, columns=[names[first], names[second]])
        rows: Iterator[list[Any]] = zip(*(column.to_pylist() for column in table.columns), strict=True)  # pyright: ignore
        yield from ((str(a), str(b)) for a, b in rows if a and b)
        return
    with _open_text(source) as file:
        header = file.readline()
        separator = "\t" if "\t" in header else ","
        first, second = _edge_columns(next(csv.reader([header], delimiter=separator)), source)
        for row in csv.reader(file, delimiter=separator):
            if row and row[first] and row[second]:
                yield row[first], row[second]


def read_p_values(source: Path, cutoff: float | None, symbols: Mapping[str, str]) -> Iterator[Edge]:
    """Yield (perturbed gene, measured gene) where the p value is below the cutoff.

    The matrix has a row per measured gene and a column per perturbation, named number_symbol_promoter_ENSG; controls lack the id.

    Source: Replogle 2022, figshare file 38349308 (Anderson-Darling, corrected after Benjamini and Hochberg).
    """
    del symbols
    import numpy as np
    import pandas as pd

    if cutoff is None:
        raise ValueError(f"{source}: the registry gives no cutoff for these p values.")
    with _open_text(source) as file:
        for chunk in pd.read_csv(file, index_col=0, chunksize=CHUNK_ROWS):
            regulators = [str(name).rsplit("_", 1)[-1] for name in chunk.columns]
            known = np.array([bool(ENSEMBL.fullmatch(name)) for name in regulators])
            if not known.any():
                raise ValueError(f"{source}: no column ends with an Ensembl gene id; first: {list(chunk.columns[:3])}.")
            significant = (chunk.to_numpy(dtype=np.float64) < cutoff) & known
            for row, column in zip(*np.nonzero(significant), strict=True):
                yield regulators[column], str(chunk.index[row])


def read_cx(source: Path, cutoff: float | None, symbols: Mapping[str, str]) -> Iterator[Edge]:
    """Yield the edges of a network in CX or CX2, both ways, between the names of its nodes.

    Source: https://cytoscape.org/cx/cx2/specification, CX2 (`id`, `s`, `t`, values under `v`) and CX (`@id`, `n`).
    """
    del cutoff, symbols
    with _open_text(source) as file:
        aspects = json.load(file)
    if not isinstance(aspects, list):
        raise ValueError(f"{source}: it is no CX network, which is a list of aspects; found {type(aspects).__name__}.")
    parts: dict[str, list[Any]] = {"nodes": [], "edges": []}
    for aspect in aspects:
        for name, content in parts.items():
            content.extend(aspect.get(name, ()))
    names = {node["@id"] if "@id" in node else node["id"]: _node_name(node, source) for node in parts["nodes"]}
    for edge in parts["edges"]:
        first, second = names[edge["s"]], names[edge["t"]]
        yield first, second
        yield second, first


def read_protein_pairs(source: Path, cutoff: float | None, symbols: Mapping[str, str]) -> Iterator[Edge]:
    """Yield the pairs of proteins whose score reaches the cutoff, both ways, as gene symbols.

    Lines hold ACCESSION_ACCESSION, a tab, a score; others are headers. Accessions without a symbol are left out.

    Source: RF2-PPI scores of https://conglab.swmed.edu/humanPPI/; Methods, "The human interactome Ground truth".
    """
    if cutoff is None or not symbols:
        raise ValueError(f"{source}: scores of pairs need a cutoff and a table of symbols (column `mapping`).")
    with _open_text(source) as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            proteins = fields[0].split("_")
            if len(fields) < 2 or len(proteins) != 2 or not _is_number(fields[1]) or float(fields[1]) < cutoff:
                continue
            first, second = (symbols.get(protein) for protein in proteins)
            if first and second:
                yield first, second
                yield second, first


def _edge_columns(names: list[str], source: Path) -> tuple[int, int]:
    lower = [name.lower() for name in names]
    found = next(((lower.index(a), lower.index(b)) for a, b in HEADERS if a in lower and b in lower), None)
    if found is None:
        raise ValueError(f"{source}: columns are {names}; needed: {' or '.join(map(str, HEADERS))}.")
    return found


def _node_name(node: Mapping[str, Any], source: Path) -> str:
    values = node.get("v", node)
    name = next((values[key] for key in SYMBOL_ASPECTS if key in values), None)
    if name is None:
        raise ValueError(f"{source}: a node has no name: {node}")
    return str(name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file that may be gzipped, or be the one file of a zip archive."""
    with path.open("rb") as raw:
        start = raw.read(4)
    if start[:2] == b"\x1f\x8b":
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    elif start == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if len(members) != 1:
                raise ValueError(f"{path}: the archive holds {len(members)} files, expected one: {members[:5]}")
            with archive.open(members[0]) as member, io.TextIOWrapper(member, encoding="utf-8", newline="") as file:
                yield file
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield file


Converter = Callable[[Path, float | None, Mapping[str, str]], Iterator[Edge]]
_CONVERTERS: Mapping[str, Converter] = {
    "edges": read_edges,
    "p_values": read_p_values,
    "cx": read_cx,
    "protein_pairs": read_protein_pairs,
}
