"""Listings of public sources, one module per source. Each gives a `Listing`; `scprint2 data list --source NAME` freezes it.

Imports neither torch nor pandas.
"""

from scprint2.data.sources import cellxgene, scbasecount, tahoe
from scprint2.data.sources.listing import Listing, Source

SOURCES: dict[str, Source] = {source.name: source for source in (cellxgene.SOURCE, tahoe.SOURCE, scbasecount.SOURCE)}

__all__ = ["SOURCES", "Listing", "Source"]
