"""The registry of network truths: where each known network comes from and how it becomes a table of regulator and target.

Imports neither torch nor pandas, so that planning a workflow stays quick; the conversion itself is in `truth_sources`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from scprint2.data.registry import TRUTH, check_file, read_rows

CONVERTERS = ("edges", "p_values", "cx", "protein_pairs", "none")


@dataclass(frozen=True)
class TruthSource:
    """One row of the registry of truths. An empty field was not given.

    Attributes
    ----------
    file
        The name under which a mirror holds the published file; rows may share one.
    converter
        How it is read: `edges` (a table with regulator and target columns), `p_values` (a matrix, measured genes x
        perturbations), `cx` (a network of NDEx), `protein_pairs` (scores of pairs of UniProt accessions), or `none` (a table
        that another row needs).
    cutoff
        Edges must be below it (`p_values`) or reach it (`protein_pairs`).
    mapping
        Name of the row whose table translates accessions into gene symbols.
    """

    name: str
    file: str
    url: tuple[str, ...] = ()
    sha256: str = ""
    md5: str = ""
    bytes: int | None = None
    licence: str = ""
    citation: str = ""
    converter: str = "edges"
    cutoff: float | None = None
    mapping: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "TruthSource":
        """Read a row of text fields; several URLs are separated by spaces.

        Raises
        ------
        ValueError
            If a field is malformed.
        """
        if not TRUTH.fullmatch(row["name"]):
            raise ValueError(f"name is {row['name']!r}; it must consist of letters, digits, _ and -.")
        if not row["file"] or "/" in row["file"]:
            raise ValueError(f"file is {row['file']!r}; it must be a file's name without folder.")
        check_file(row)
        if row.get("converter", "edges") not in CONVERTERS:
            raise ValueError(f"converter is {row['converter']!r}; allowed: {', '.join(CONVERTERS)}.")
        size, cutoff = row.get("bytes", ""), row.get("cutoff", "")
        return cls(
            name=row["name"],
            file=row["file"],
            url=tuple(row.get("url", "").split()),
            sha256=row.get("sha256", ""),
            md5=row.get("md5", ""),
            bytes=int(size) if size else None,
            licence=row.get("licence", ""),
            citation=row.get("citation", ""),
            converter=row.get("converter", "edges"),
            cutoff=float(cutoff) if cutoff else None,
            mapping=row.get("mapping", ""),
        )

    def is_within_reach(self, mirror: str | Path | None) -> bool:
        """Whether the file has a URL, or lies in a mirror that is a folder of this machine."""
        return bool(self.url) or (mirror is not None and (Path(mirror) / self.file).is_file())

    def to_row(self) -> dict[str, str]:
        """Return the text fields that `from_row` reads."""
        return {
            name: " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
            for name, value in asdict(self).items()
        }


def read_truths(path: str | Path) -> dict[str, TruthSource]:
    """Read the registry of truths, name to source; without a file there are none.

    Raises
    ------
    ValueError
        If a row is malformed or given twice, needs a row that is not there, or disagrees with another on the file they share.
    """
    if not Path(path).is_file():
        return {}
    truths: dict[str, TruthSource] = {}
    origins: dict[str, tuple[object, ...]] = {}
    for line, row in read_rows(path, [field.name for field in fields(TruthSource)], required=("name", "file")):
        try:
            truth = TruthSource.from_row(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if truth.name in truths:
            raise ValueError(f"{path}, line {line}: truth {truth.name!r} is given twice. Rename or remove one.")
        origin = (truth.url, truth.sha256, truth.md5, truth.bytes)
        if origins.setdefault(truth.file, origin) != origin:
            raise ValueError(f"{path}, line {line}: another row has file {truth.file!r} with other URLs or checksums.")
        truths[truth.name] = truth
    for truth in truths.values():
        if truth.mapping and truth.mapping not in truths:
            raise ValueError(f"{path}: truth {truth.name!r} needs {truth.mapping!r}; known: {sorted(truths)}.")
    return truths
