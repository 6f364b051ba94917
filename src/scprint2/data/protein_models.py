"""The registry of protein language models: which files they consist of, and where each can be had.

Imports neither torch nor pandas, so that planning a workflow stays quick.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from scprint2.data.registry import NAME, SHA256

COLUMNS = ("model", "file", "url", "sha256", "bytes", "licence")


@dataclass(frozen=True)
class ModelFile:
    """One file of a model."""

    model: str
    file: str
    url: str
    sha256: str
    bytes: int
    licence: str


def read_protein_models(path: str | Path) -> dict[str, dict[str, ModelFile]]:
    """Read the registry (tab-separated, lines from "#" on are comments): model to its files by name.

    Raises
    ------
    ValueError
        If the columns are others or a field is malformed; the message names the file and the row.
    """
    with open(path, encoding="utf-8", newline="") as file:
        table = csv.DictReader((line for line in file if line.strip() and line[0] != "#"), delimiter="\t")
        rows = list(table)
    if tuple(table.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path}: columns are {table.fieldnames}, expected {list(COLUMNS)}, separated by tabs.")
    models: dict[str, dict[str, ModelFile]] = {}
    for row in rows:
        right = NAME.fullmatch(row["model"].lower()) and "/" not in row["file"] and row["url"].startswith("https://")
        if not right or not SHA256.fullmatch(row["sha256"]) or not row["bytes"].isdigit() or not row["licence"]:
            raise ValueError(
                f"{path}: row {row} is malformed: a name of letters, digits, _ and -, a file name, an https URL, a sha256, "
                "a number of bytes and a licence are needed."
            )
        models.setdefault(row["model"], {})[row["file"]] = ModelFile(**{**row, "bytes": int(row["bytes"])})
    return models
