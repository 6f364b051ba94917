"""The registry of protein language models: which files they consist of, and where each can be had.

Imports neither torch nor pandas, so that planning a workflow stays quick.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scprint2.data.registry import NAME, SHA256, read_rows

COLUMNS = ("model", "file", "url", "sha256", "bytes", "licence", "citation")


@dataclass(frozen=True)
class ModelFile:
    """One file of a model."""

    model: str
    file: str
    url: str
    sha256: str
    bytes: int
    licence: str
    citation: str


def read_protein_models(path: str | Path) -> dict[str, dict[str, ModelFile]]:
    """Read the registry (tab-separated, lines from "#" on are comments): model to its files by name.

    Raises
    ------
    ValueError
        If the columns are others or a field is malformed; the message names file and line.
    """
    models: dict[str, dict[str, ModelFile]] = {}
    for line, row in read_rows(path, list(COLUMNS), required=COLUMNS):
        if problem := _problem(row):
            raise ValueError(f"{path}, line {line}: {problem}")
        models.setdefault(row["model"], {})[row["file"]] = ModelFile(**{**row, "bytes": int(row["bytes"])})
    return models


def _problem(row: Mapping[str, str]) -> str | None:
    if not NAME.fullmatch(row["model"].lower()):
        return f"model is {row['model']!r}; it must consist of letters, digits, _ and -."
    if not row["file"] or "/" in row["file"]:
        return f"file is {row['file']!r}; it must be a file's name without folder."
    if not row["url"].startswith("https://"):
        return f"url is {row['url']!r}; it must start with https://."
    if not SHA256.fullmatch(row["sha256"]) or not row["bytes"].isdigit():
        return f"sha256 is {row['sha256']!r} and bytes {row['bytes']!r}; 64 characters 0-9 a-f and a whole number are needed."
    if not row["licence"] or not row["citation"]:
        return "licence and citation must not be empty."
    return None
