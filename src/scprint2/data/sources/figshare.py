"""figshare: size and md5 of the files of public articles.

Source: https://docs.figshare.com (GET /v2/articles/{id}/files, pages of `page_size`; supplied_md5, computed_md5, size).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from scprint2.data.checksums import Checksum
from scprint2.data.sources.listing import Unreadable, field
from scprint2.data.sources.web import Web

NAME = "figshare"
ENDPOINT = "https://api.figshare.com"
PAGE = 100
FILE = re.compile(r"/files/([0-9]+)")
# The articles that hold the registries' files. File 50608386 is reached by a private link, whose article the service does not
# tell.
ARTICLES = (
    12420968,  # Luecken 2022, integration tasks: lung and pancreas
    20029387,  # Replogle 2022, processed single cells
    21632564,  # Replogle 2022, supplementary tables: p values
)


def list_checksums(
    files: Iterable[tuple[str, Iterable[str]]],
    *,
    endpoint: str = ENDPOINT,
    articles: Iterable[int] = ARTICLES,
    web: Web | None = None,
) -> tuple[list[Checksum], list[str]]:
    """Return what figshare says of files that registries name, and the files that it says nothing of.

    Parameters
    ----------
    files
        File names with their URLs.

    Raises
    ------
    ValueError
        If the service does not answer, or not as documented.
    """
    web = web or Web()
    wanted = {
        int(found[1]): (name, url)
        for name, urls in files
        for url in urls
        if "figshare" in url and (found := FILE.search(url))
    }
    known = {}
    for article in articles:
        for record in _list_files(web, endpoint, article):
            number = int(str(field(record, "id", where=f"article {article}")))
            if number in wanted:
                known[number] = _checksum(record, *wanted[number])
    silent = sorted({name for number, (name, _) in wanted.items() if number not in known})
    return [known[number] for number in sorted(known)], silent


def _list_files(web: Web, endpoint: str, article: int) -> Iterator[dict[str, Any]]:
    url = f"{endpoint.rstrip('/')}/v2/articles/{article}/files"
    page = 1
    while records := web.get_json(url, {"page": page, "page_size": PAGE}):
        yield from records
        if len(records) < PAGE:
            return
        page += 1


def _checksum(record: dict[str, Any], name: str, url: str) -> Checksum:
    md5 = record.get("computed_md5") or record.get("supplied_md5") or ""
    if record.get("is_link_only") or not md5:
        raise Unreadable(f"figshare file {record['id']} ({name}): it is a link to elsewhere, or has no md5")
    return Checksum(file=name, md5=md5, bytes=int(str(field(record, "size", where=name))), url=url)
