"""Tables from the labels that authors use to ontology terms: one for all datasets, and one per dataset where it needs one."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from scprint2.data.ontology import UNKNOWN_TERM, clean_term
from scprint2.data.vocabulary import CLASSES

COLUMNS = ("class", "column", "label", "term", "name", "source")


@dataclass(frozen=True)
class LabelNames:
    """What labels stand for.

    Attributes
    ----------
    terms
        (class, label) to term; "unknown" for a label that is known to say nothing.
    columns
        Class to the column of obs that its labels stand in, for classes whose column is not called as usual.
    """

    terms: Mapping[tuple[str, str], str]
    columns: Mapping[str, str]


@cache
def common_names() -> LabelNames:
    """Labels that many datasets use and no ontology has (`label_names.tsv`)."""
    with as_file(files("scprint2.data").joinpath("label_names.tsv")) as path:
        return read_label_names(path)


def read_label_names(path: str | Path) -> LabelNames:
    """Read a table of labels (tab-separated, lines from "#" on are comments).

    Columns: `class`, `column` (of obs; empty: the usual ones), `label` (exactly as in the file), `term` (an id, or "unknown"),
    `name` of the term and `source` of the mapping, both for readers.

    Raises
    ------
    ValueError
        If the columns are others, a class is not known, a term is not in use, a source is missing, a label is given twice, or one
        class stands in two columns; the message names file and line.
    """
    terms: dict[tuple[str, str], str] = {}
    columns: dict[str, str] = {}
    for number, row in _read_rows(Path(path)):
        problem = _problem(row, terms, columns)
        if problem:
            raise ValueError(f"{path}, line {number}: {problem}")
        terms[row["class"], row["label"]] = row["term"]
        if row["column"]:
            columns[row["class"]] = row["column"]
    return LabelNames(terms, columns)


def _read_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = [(number, line) for number, line in enumerate(file, start=1) if line.strip() and line[0] != "#"]
    header = next(csv.reader([lines[0][1]], delimiter="\t"), []) if lines else []
    if tuple(header) != COLUMNS:
        raise ValueError(f"{path}: columns are {header}, expected {list(COLUMNS)}, separated by tabs.")
    rows = []
    for number, line in lines[1:]:
        values = [value.strip() for value in line.rstrip("\r\n").split("\t")]
        if len(values) != len(COLUMNS):
            raise ValueError(f"{path}, line {number}: {len(values)} fields, the header has {len(COLUMNS)}. Use tabs.")
        rows.append((number, dict(zip(COLUMNS, values, strict=True))))
    return rows


def _problem(row: Mapping[str, str], terms: Mapping[tuple[str, str], str], columns: Mapping[str, str]) -> str | None:
    name, label, term = row["class"], row["label"], row["term"]
    if name not in CLASSES:
        return f"class is {name!r}; known: {list(CLASSES)}."
    if not label or not row["source"]:
        return "label and source must not be empty; say where the mapping comes from."
    if (name, label) in terms:
        return f"label {label!r} of {name} is given twice. Remove one."
    if term != UNKNOWN_TERM and clean_term(term) != term:
        return f"term is {term!r}, which its ontology does not have or has retired (now {clean_term(term)!r})."
    if row["column"] and columns.get(name, row["column"]) != row["column"]:
        return f"labels of {name} stand in column {columns[name]!r} and in {row['column']!r}; one column per class."
    return None
