"""Pages that need nothing but themselves: text, tables and pictures in one HTML file, with one look for all.

Every job that runs a notebook renders one, so that pandas and matplotlib, which take most of a second, are imported where used.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from scprint2.files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
LONG = 60  # characters of a text that needs a column of some width


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads somewhere."""

    text: str
    to: str


@dataclass
class Page:
    """A page under construction.

    Attributes
    ----------
    title, subtitle
        What stands on top.
    parts
        HTML of what was added, in order.
    """

    title: str
    subtitle: str = ""
    parts: list[str] = field(default_factory=list)

    def heading(self, text: str, *, anchor: str = "", level: int = 2) -> None:
        """Begin a section; `#anchor` leads to it."""
        place = f' id="{escape(anchor)}"' if anchor else ""
        self.parts.append(f"<h{level}{place}>{escape(text)}</h{level}>")

    def text(self, text: str, *, style: str = "") -> None:
        """Add a paragraph."""
        self.parts.append(f"<p{_classes(style)}>{escape(text)}</p>")

    def links(self, lead: str, links: Sequence[Link]) -> None:
        """Add a line of links, behind a word or two that say where they lead."""
        shown = " · ".join(f'<a href="{escape(link.to)}">{escape(link.text)}</a>' for link in links)
        self.parts.append(f"<p>{escape(lead)} {shown}</p>")

    def figure(self, figure: "Figure", *, alternative: str) -> None:
        """Add a picture and close the figure."""
        import matplotlib.pyplot as plt

        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        plt.close(figure)
        self._picture(target.getvalue(), alternative)

    def image(self, path: str | Path, *, alternative: str) -> None:
        """Add a picture from a PNG file."""
        self._picture(Path(path).read_bytes(), alternative)

    def _picture(self, data: bytes, alternative: str) -> None:
        text = base64.b64encode(data).decode()
        self.parts.append(f'<img alt="{escape(alternative)}" src="data:image/png;base64,{text}">')

    def table(
        self,
        frame: "pd.DataFrame",
        *,
        links: Mapping[str, str] | None = None,
        name: str = "table",
        style: str = "sortable",
    ) -> None:
        """Add a table that scrolls in a box of its own.

        Cells may be `Link`s; a cell of the first column whose text is in `links` leads there. Numbers stand at the right; NaN is
        shown as a dash.

        Parameters
        ----------
        name
            What the table holds, for readers who cannot see it.
        style
            `sortable` where its headings are to sort it.
        """
        links = links or {}
        numeric = [_is_numeric(frame.iloc[:, place]) for place in range(frame.shape[1])]
        names = zip(frame.columns, numeric, strict=True)
        head = "".join(
            f'<th scope="col"{_classes("number" * number)}>{escape(str(name))}</th>' for name, number in names
        )
        rows = []
        for line in frame.itertuples(index=False, name=None):
            first = Link(str(line[0]), links[line[0]]) if str(line[0]) in links else line[0]
            cells = zip((first, *line[1:]), numeric, strict=True)
            rows.append(f"<tr>{''.join(_cell(value, number=number) for value, number in cells)}</tr>")
        self.parts.append(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}"><table{_classes("plain-table", style)}>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )

    def items(self, lines: Sequence[str]) -> None:
        """Add a list."""
        self.parts.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")

    def render(self) -> str:
        """Return the page as HTML."""
        return render_template("page.html", title=self.title, subtitle=self.subtitle, body="\n".join(self.parts))

    def write(self, path: str | Path) -> None:
        """Write the page, atomically."""
        write_text(path, self.render())


def render_template(name: str, **values: object) -> str:
    """Fill one of the package's pages; a value that it misses is an error."""
    environment = Environment(
        loader=PackageLoader("scprint2", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values)


def _is_numeric(column: "pd.Series") -> bool:
    import pandas as pd

    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _classes(*names: str) -> str:
    found = " ".join(filter(None, names))
    return f' class="{found}"' if found else ""


def _cell(value: object, *, number: bool) -> str:
    if isinstance(value, Link):
        return f'<td{_classes("number" * number)}><a href="{escape(value.to)}">{escape(value.text)}</a></td>'
    if isinstance(value, float):
        shown = "–" if math.isnan(value) else f"{value:,.0f}" if value.is_integer() else f"{value:,.4g}"
        return f'<td class="number" data-value="{"" if math.isnan(value) else repr(float(value))}">{shown}</td>'
    text = f"{value:,}" if isinstance(value, int) else str(value)
    plain = f' data-value="{value}"' if isinstance(value, int) else ""
    return f"<td{_classes('number' * number, 'long' * (len(text) > LONG))}{plain}>{escape(text)}</td>"
