"""Frozen listings of public sources: one table per source, from which the large corpora are chosen.

A manifest is what `scprint2 data list --source NAME` wrote down at one time, so that planning asks no service. Imports
neither torch nor pandas.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from scprint2.data.registry import NAME, Dataset, check_file, check_organism, read_rows, write_rows
from scprint2.files import write_text

PARTIAL = "# partial: "  # starts the comment line of a manifest that does not hold all that its source has
PRIMARY = ("all", "some", "none", "")
NUMBERS = ("bytes", "cells", "cell_types")
LISTS = ("url", "aliases")
REQUIRED = ("name", "organism", "url", "file")


@dataclass(frozen=True)
class Listed:
    """One dataset of a source, as it was listed.

    Attributes
    ----------
    cells, cell_types
        Number of cells, and of different cell types among them; None where the source does not say.
    primary
        Whether its cells are the first publication of themselves: all, some, none, or empty where the source does not say.
    collection
        The study, by the id that the source gives it.
    published
        When this version was made public, as the source writes it.
    aliases
        Other names of the same data, such as the ids of all its versions: a test set is recognized by any of them.
    """

    name: str
    organism: str
    url: tuple[str, ...]
    file: str
    bytes: int | None = None
    md5: str = ""
    licence: str = ""
    citation: str = ""
    batch_key: str = ""
    label_key: str = ""
    cells: int | None = None
    cell_types: int | None = None
    tissue: str = ""
    assay: str = ""
    schema: str = ""
    primary: str = ""
    published: str = ""
    aliases: tuple[str, ...] = ()
    collection: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Listed":
        """Read a row of text fields.

        Raises
        ------
        ValueError
            If a field is malformed.
        """
        if not NAME.fullmatch(row["name"]):
            raise ValueError(f"name is {row['name']!r}; it must consist of the characters a-z, 0-9, _ and -.")
        check_organism(row["organism"])
        check_file(row)
        if row.get("primary", "") not in PRIMARY:
            raise ValueError(f"primary is {row['primary']!r}; allowed: {', '.join(PRIMARY[:-1])}, or empty.")
        values: dict[str, object] = dict(row)
        for name in NUMBERS:
            text = row.get(name, "")
            if text and not text.isdigit():
                raise ValueError(f"{name} is {text!r}; it must be a whole number, or empty.")
            values[name] = int(text) if text else None
        for name in LISTS:
            values[name] = tuple(row.get(name, "").split())
        return cls(**values)  # pyright: ignore[reportArgumentType]

    def to_row(self) -> dict[str, str]:
        """Return the text fields that `from_row` reads."""
        return {
            name: " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            for name, value in asdict(self).items()
        }

    def to_dataset(self) -> Dataset:
        """Return what the workflow needs to know of it."""
        return Dataset(**{name: getattr(self, name) for name in _SHARED})

    def is_known_as(self, names: Iterable[str]) -> bool:
        """Return whether one of these is its name, its file without ending, or an alias."""
        return not {self.name, stem(self.file), *self.aliases}.isdisjoint(names)


_SHARED = tuple(field.name for field in fields(Listed) if field.name in Dataset.__dataclass_fields__)


@dataclass(frozen=True)
class Manifest:
    """All datasets of one source.

    Attributes
    ----------
    partial
        What is missing; empty for a complete listing.
    """

    source: str
    datasets: tuple[Listed, ...]
    partial: str = ""


def stem(file: str) -> str:
    """Return a file's name without folder and endings, as sources use it for an id."""
    return re.sub(r"(\.[A-Za-z0-9]+)+$", "", file.rsplit("/", 1)[-1])


def read_manifest(path: str | Path) -> Manifest:
    """Read a frozen listing.

    Raises
    ------
    ValueError
        If there is no such file, a column is unknown, or a row is malformed or given twice; the message says where.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no manifest {path}; `scprint2 data list --source {path.stem}` writes it.")
    datasets: dict[str, Listed] = {}
    for line, row in read_rows(path, [field.name for field in fields(Listed)], required=REQUIRED):
        try:
            listed = Listed.from_row(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if listed.name in datasets:
            raise ValueError(f"{path}, line {line}: dataset {listed.name!r} is given twice. Remove one.")
        datasets[listed.name] = listed
    with path.open(encoding="utf-8") as file:
        partial = next((line[len(PARTIAL) :].strip() for line in file if line.startswith(PARTIAL)), "")
    return Manifest(path.stem, tuple(datasets.values()), partial)


def write_manifest(path: str | Path, datasets: Iterable[Listed], *, comment: str) -> None:
    """Write a complete listing, sorted by name: listing an unchanged source again changes nothing but the comment."""
    header = "".join(f"# {line}\n" for line in comment.splitlines())
    rows = [row.to_row() for row in sorted(datasets, key=lambda row: row.name)]
    write_text(path, header + write_rows([field.name for field in fields(Listed)], rows))
