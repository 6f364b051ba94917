"""What every page of the site has in common: the way to the others, and tables that can be sorted."""

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path, PurePosixPath

from scprint2.files import write_text

NO_ICON = '<link rel="icon" href="data:,">'  # else a browser asks the host for one, which is not there
MARK = "<!-- navigation -->"  # stands in every page that the package writes
PAGES: Mapping[str, str] = {
    "index.html": "Overview",
    "table1.html": "Table 1",
    "effects.html": "Effects",
    "curves.html": "Curves",
    "controls.html": "Controls",
    "beyond.html": "Beside Table 1",
    "paper.html": "Beside the paper",
    "claims.html": "Claims",
    "data.html": "Data",
    "costs.html": "Costs",
    "metrics.html": "Metrics",
    "software.html": "Software",
}


def put_page(site: Path, place: str, html: str) -> None:
    """Write a page at a place of the site, in the frame of the site.

    Raises
    ------
    ValueError
        If the page has no place for the navigation, so that it was not written by this version of the package.
    """
    if MARK not in html:
        raise ValueError(f"{place}: no {MARK!r} in it: the page was made by another version. Make it again.")
    framed = html.replace(MARK, navigation(place), 1)
    script = files("scprint2.site").joinpath("sort.js").read_text()
    framed = framed.replace("</head>", f"{NO_ICON}\n</head>", 1)
    write_text(site / place, framed.replace("</body>", f"<script>\n{script}</script>\n</body>"))


def navigation(place: str) -> str:
    """Return the links to the main pages, from a page at `place`."""
    up = "../" * (len(PurePosixPath(place).parts) - 1)
    section = place if place in PAGES else ""
    links = "".join(
        f'<li><a href="{up}{page}"{" aria-current=page" if page == section else ""}>{escape(title)}</a></li>'
        for page, title in PAGES.items()
    )
    return f'<nav class="site" aria-label="pages"><ul>{links}</ul></nav>'
