"""Publishers of the files that describe organisms, by how the addresses of their files begin.

Imports neither torch nor pandas, so that planning a workflow stays quick.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scprint2.data.registry import URLS, read_rows

COLUMNS = ("url", "publisher", "licence", "citation")


@dataclass(frozen=True)
class Publisher:
    """One row of the table of publishers.

    Attributes
    ----------
    url
        How the addresses of its files begin.
    """

    url: str
    publisher: str
    licence: str
    citation: str


def read_publishers(path: str | Path) -> tuple[Publisher, ...]:
    """Read the table of publishers (tab-separated).

    Raises
    ------
    ValueError
        If a field is empty, or an address is malformed or given twice; the message names file and line.
    """
    found: dict[str, Publisher] = {}
    for line, row in read_rows(path, list(COLUMNS), required=COLUMNS):
        if not row["url"].startswith(URLS) or not all(row.values()):
            raise ValueError(f"{path}, line {line}: {row}: no field may be empty; url must start with one of {URLS}.")
        if row["url"] in found:
            raise ValueError(f"{path}, line {line}: url {row['url']!r} is given twice. Remove one.")
        found[row["url"]] = Publisher(**row)
    return tuple(found.values())


def publisher_of(url: str, publishers: Sequence[Publisher]) -> Publisher | None:
    """Return the publisher of a file; None where the table has none."""
    fitting = [publisher for publisher in publishers if url.startswith(publisher.url)]
    return max(fitting, key=lambda publisher: len(publisher.url), default=None)
