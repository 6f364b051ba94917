"""Tables that gene tables are made from: genes as Ensembl, CELLxGENE and others write them, aliases, transcription factors."""

import csv
import gzip
import re
from io import TextIOWrapper
from pathlib import Path

import numpy as np
import pandas as pd

from scprint2.data.gtf import read_genes

# What the columns of raw gene tables are called (Ensembl BioMart, annotables, CELLxGENE, our simulator).
RAW_NAMES = {
    "gene_id": ("gene_id", "ensembl_id", "ensgene", "ensembl_gene_id", "Gene stable ID", "feature_id"),
    "symbol": ("symbol", "gene_name", "external_gene_name", "Gene name", "feature_name", "gene_symbol"),
    "aliases": ("aliases", "alias", "synonyms", "Gene Synonym"),
    "biotype": ("biotype", "gene_biotype", "Gene type", "gene_type", "feature_type"),
    "chromosome": ("chromosome", "chr", "chromosome_name", "Chromosome/scaffold name", "seqname"),
    "start": ("start", "start_position", "Gene start (bp)"),
    "family": ("family",),
    "is_tf": ("is_tf",),
}
CELLXGENE_COLUMNS = ("gene_id", "symbol", "version", "length", "biotype")
VERSION = re.compile(r"\.[0-9]+$")
# Columns of lists of transcription factors: AnimalTFDB (Ensembl, Symbol), PlantTFDB (Gene_ID), ours. Symbols count too, because
# ids change with an assembly.
FACTOR_COLUMNS = ("Ensembl", "Gene_ID", "gene_id", "Symbol", "symbol")
INFO_COLUMNS = ("Symbol", "LocusTag", "Synonyms", "dbXrefs")
# Databases whose ids NCBI Gene gives and Ensembl uses as gene ids.
ID_SOURCES = ("Ensembl:", "FLYBASE:", "WormBase:", "Araport:", "TAIR:", "EnsemblGenomes:")


def read_raw(path: Path) -> pd.DataFrame:
    """Read a raw gene table with the columns of `RAW_NAMES`; version numbers of Ensembl ids are dropped.

    Raises
    ------
    ValueError
        If a needed column is missing or an id is given twice.
    """
    raw = read_genes(path) if ".gtf" in path.name else _read_table(path)
    frame = pd.DataFrame(index=raw.index)
    for name, candidates in RAW_NAMES.items():
        column = next((candidate for candidate in candidates if candidate in raw.columns), None)
        if column is None and name in {"gene_id", "symbol", "biotype"}:
            raise ValueError(f"{path}: no column for {name}; found {list(raw.columns)}, allowed {list(candidates)}.")
        frame[name] = raw[column] if column is not None else ""
    frame["gene_id"] = [VERSION.sub("", gene) if gene.startswith("ENS") else gene for gene in frame["gene_id"]]
    repeated = frame.loc[frame["gene_id"].duplicated(), "gene_id"].tolist()
    if repeated:
        raise ValueError(
            f"{path}: {len(repeated)} gene ids are given more than once, such as {repeated[0]!r}. Keep one each."
        )
    starts = pd.Series(pd.to_numeric(frame["start"], errors="coerce"), index=frame.index)
    frame["start"] = starts.fillna(-1).astype(np.int64)
    frame["is_tf"] = [value.lower() in {"1", "true", "yes"} for value in frame["is_tf"]]
    return frame


def read_aliases(path: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Aliases from a table of NCBI Gene (*.gene_info): by the gene's id in Ensembl, and by its symbol.

    The symbol itself is among the aliases of an id, because Ensembl may use another one. A symbol of several genes is left out.

    Raises
    ------
    ValueError
        If the columns are not those of gene_info.
    """
    by_id: dict[str, tuple[str, ...]] = {}
    by_symbol: dict[str, tuple[str, ...]] = {}
    with _open_text(path) as file:
        header = file.readline().lstrip("#").rstrip("\n").split("\t")
        missing = [name for name in INFO_COLUMNS if name not in header]
        if missing:
            raise ValueError(f"{path}: no columns {missing}; found {header[:8]}. Give a gene_info file of NCBI Gene.")
        places = [header.index(name) for name in INFO_COLUMNS]
        for line in file:
            fields = line.rstrip("\n").split("\t")
            symbol, locus, synonyms, references = (fields[place] for place in places)
            names = tuple(name for name in (symbol, *synonyms.split("|"), locus) if name not in {"-", ""})
            for reference in references.split("|"):
                source = next((source for source in ID_SOURCES if reference.startswith(source)), None)
                if source is not None:
                    by_id[reference.removeprefix(source)] = names
            by_symbol[symbol] = () if symbol in by_symbol else names
    return by_id, by_symbol


def read_factors(path: Path) -> set[str]:
    """Ids (with and without version) or symbols of factors: one per line, or the table of AnimalTFDB or PlantTFDB."""
    with _open_text(path) as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    header = lines[0].split("\t") if lines else []
    columns = [name for name in FACTOR_COLUMNS if name in header]
    if not columns:
        names = {name for line in lines for name in line.split()}
    else:
        rows = csv.DictReader(lines, delimiter="\t")
        names = {(row[column] or "").strip() for row in rows for column in columns} - {"", "-", "NA"}
    return names | {VERSION.sub("", name) for name in names}


def _read_table(path: Path) -> pd.DataFrame:
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    with _open_text(path) as file:
        first = file.readline().rstrip("\n").split(separator)
    headless = len(first) == len(CELLXGENE_COLUMNS) and first[3].isdigit()
    return pd.read_csv(
        path,
        sep=separator,
        dtype=str,
        keep_default_na=False,
        header=None if headless else 0,
        names=list(CELLXGENE_COLUMNS) if headless else None,
    )


def _open_text(path: Path) -> TextIOWrapper:
    """Open a text file that may be gzipped, whatever its name says."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8")
