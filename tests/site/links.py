"""What leads where in a folder of pages."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Anchors(HTMLParser):
    """Collects the addresses that a page names, and the places that addresses can name in it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.addresses.append(value)
            if name == "id" and value is not None:
                self.ids.add(value)


def read_page(path: Path) -> Anchors:
    """Read a page."""
    page = Anchors()
    page.feed(path.read_text())
    return page


def broken_links(site: Path) -> list[str]:
    """Addresses in the pages of a folder that lead nowhere, or out of it."""
    pages = {path.resolve(): read_page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            inside = not parts.scheme and not parts.netloc and target.is_relative_to(site.resolve())
            place = unquote(parts.fragment)
            if not inside or not target.is_file() or (place and place not in pages[target].ids):
                broken.append(f"{path.relative_to(site.resolve())}: {address}")
    return broken
