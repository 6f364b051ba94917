"""Checksums learnt at first downloads, and those that publishers give: one committed table, enforced from then on."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from scprint2.data.registry import check_file, read_rows, write_rows
from scprint2.files import write_text

HEADER = """\
# What each downloaded file must be: sha256 and bytes as learnt at its first download (`date`, from `url`); before that md5
# and bytes, where the publisher gives them (`scprint2 data list --source figshare`). Downloads write it. Commit it: later
# ones are held to it.
"""


@dataclass(frozen=True)
class Checksum:
    """What one file must be. An empty field is not known.

    Attributes
    ----------
    file
        The name under which a registry and a mirror know it.
    date
        UTC day on which the sha256 was learnt.
    url
        Where it was downloaded from.
    """

    file: str
    sha256: str = ""
    md5: str = ""
    bytes: int | None = None
    date: str = ""
    url: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Checksum":
        """Read a row of text fields.

        Raises
        ------
        ValueError
            If a field is malformed.
        """
        check_file(row)
        size = row.get("bytes", "")
        return cls(
            file=row["file"],
            sha256=row.get("sha256", ""),
            md5=row.get("md5", ""),
            bytes=int(size) if size else None,
            date=row.get("date", ""),
            url=row.get("url", ""),
        )


def read_checksums(path: str | Path) -> dict[str, Checksum]:
    """Read the table, file name to checksum; without a table nothing is known.

    Raises
    ------
    ValueError
        If a row is malformed or a file is given twice; the message says where.
    """
    if not Path(path).is_file():
        return {}
    known: dict[str, Checksum] = {}
    for line, row in read_rows(path, [field.name for field in fields(Checksum)], required=("file",)):
        try:
            checksum = Checksum.from_row(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if checksum.file in known:
            raise ValueError(f"{path}, line {line}: file {checksum.file!r} is given twice. Remove the wrong one.")
        known[checksum.file] = checksum
    return known


def record_checksum(path: str | Path, checksum: Checksum) -> None:
    """Add what was learnt of a file. What is known already stays, and must not be contradicted. Safe among processes.

    Raises
    ------
    ValueError
        If the table says something else of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        known = read_checksums(path)
        before = known.get(checksum.file, Checksum(checksum.file))
        for name in ("sha256", "md5", "bytes"):
            old, new = getattr(before, name), getattr(checksum, name)
            if old not in ("", None) and new not in ("", None) and old != new:
                raise ValueError(
                    f"{path}: {checksum.file} has {name} {old}, found {new}. If the publisher replaced the file, remove its line."
                )
        learnt = {name: value for name, value in asdict(checksum).items() if value not in ("", None)}
        after = replace(before, **learnt) if not before.sha256 else replace(before, md5=before.md5 or checksum.md5)
        if after == before:
            return
        known[checksum.file] = after
        _write(path, known)


def today() -> str:
    """Return the day in UTC, year-month-day."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _write(path: Path, known: Mapping[str, Checksum]) -> None:
    rows = [
        {name: "" if value is None else str(value) for name, value in asdict(checksum).items()}
        for _, checksum in sorted(known.items())
    ]
    write_text(path, HEADER + write_rows([field.name for field in fields(Checksum)], rows))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
