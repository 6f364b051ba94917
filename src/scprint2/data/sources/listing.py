"""What every source has in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scprint2.data.manifests import Listed


@dataclass(frozen=True)
class Listing:
    """What a source had.

    Attributes
    ----------
    left_out
        Why datasets were not taken, reason to their number.
    """

    datasets: tuple[Listed, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class Source:
    """A public database that can be listed.

    Attributes
    ----------
    endpoint
        Where its service is; another one may be asked.
    settings
        What the listing depends on besides, with the values for the paper's corpora.
    ask
        Lists it, given the endpoint, the organisms that the project has gene tables of (name to NCBITaxon id) and settings.
    """

    name: str
    title: str
    endpoint: str
    settings: Mapping[str, str]
    ask: Callable[..., Listing]


def count(reasons: dict[str, int], reason: str) -> None:
    """Count one more dataset that is left out."""
    reasons[reason] = reasons.get(reason, 0) + 1


class Unreadable(ValueError):
    """A service answers with something else than its documentation says."""


def field(record: object, name: str, *, where: str) -> object:
    """Return a field of a JSON object.

    Raises
    ------
    Unreadable
        If it is missing; the message says what is there.
    """
    if not isinstance(record, Mapping) or name not in record:
        there = sorted(record) if isinstance(record, Mapping) else type(record).__name__
        raise Unreadable(f"{where}: no field {name!r} in the answer; it has {there}")
    return record[name]
