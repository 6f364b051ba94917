"""Genes and canonical transcripts of an Ensembl GTF file, read line by line."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

# The attributes that are read; Ensembl writes gene_biotype, GENCODE gene_type. Genes without a name have no gene_name.
GENE_ID = re.compile(rb'\bgene_id "([^"]*)"')
GENE_NAME = re.compile(rb'\bgene_name "([^"]*)"')
BIOTYPE = re.compile(rb'\bgene_(?:bio)?type "([^"]*)"')
TRANSCRIPT_ID = re.compile(rb'\btranscript_id "([^"]*)"')
CANONICAL = b'tag "Ensembl_canonical"'


def read_genes(path: str | Path) -> pd.DataFrame:
    """Genes on chromosomes and contigs alike: `gene_id`, `symbol` (empty without a name), `biotype`, `chromosome`, `start`.

    Raises
    ------
    ValueError
        If no line describes a gene, or one has no id.
    """
    rows: list[tuple[str, str, str, str, int]] = []
    for number, line in _lines(Path(path), b"\tgene\t"):
        fields = line.split(b"\t", 8)
        if len(fields) != 9 or fields[2] != b"gene":
            continue
        gene = _attribute(GENE_ID, fields[8])
        if not gene or not fields[3].isdigit():
            raise ValueError(
                f"{path}, line {number}: a gene needs a gene_id and a start; found {line[:120].decode(errors='replace')!r}."
            )
        rows.append(
            (gene, _attribute(GENE_NAME, fields[8]), _attribute(BIOTYPE, fields[8]), fields[0].decode(), int(fields[3]))
        )
    if not rows:
        raise ValueError(f"{path}: no line describes a gene (third field 'gene'); give an Ensembl GTF file.")
    return pd.DataFrame(rows, columns=pd.Index(["gene_id", "symbol", "biotype", "chromosome", "start"]))


def canonical_transcripts(path: str | Path) -> set[str]:
    """Ids (without version) of the transcripts that Ensembl calls canonical, one per gene; none where a file does not say."""
    found = set()
    for _, line in _lines(Path(path), b"\ttranscript\t"):
        if CANONICAL in line:
            found.add(_attribute(TRANSCRIPT_ID, line).partition(".")[0])
    return found


def _lines(path: Path, wanted: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that hold some bytes; nine in ten lines of a GTF file are exons and are dropped unparsed."""
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if wanted in line:
                yield number, line


def _attribute(pattern: re.Pattern[bytes], text: bytes) -> str:
    found = pattern.search(text)
    return found[1].decode() if found else ""
