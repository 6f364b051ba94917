"""Pages that need nothing but themselves: text, tables and pictures in one HTML file."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from scprint2.files import write_text

DOTS_PER_INCH = 110


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

    def heading(self, text: str) -> None:
        """Begin a section."""
        self.parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self.parts.append(f"<p>{escape(text)}</p>")

    def figure(self, figure: Figure, *, alternative: str) -> None:
        """Add a picture and close the figure."""
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        plt.close(figure)
        data = base64.b64encode(target.getvalue()).decode()
        self.parts.append(f'<img alt="{escape(alternative)}" src="data:image/png;base64,{data}">')

    def table(self, frame: pd.DataFrame, *, links: Mapping[str, str] | None = None) -> None:
        """Add a table; a cell of its first column whose text is in `links` leads there."""
        links = links or {}
        head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
        rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
        for row in rows:
            if row[0] in links:
                row[0] = f'<a href="{escape(links[row[0]])}">{row[0]}</a>'
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        self.parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def items(self, lines: Sequence[str]) -> None:
        """Add a list."""
        self.parts.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")

    def write(self, path: str | Path) -> None:
        """Write the page, atomically."""
        environment = Environment(loader=PackageLoader("scprint2", "."), undefined=StrictUndefined, autoescape=True)
        template = environment.get_template("page.html")
        write_text(path, template.render(title=self.title, subtitle=self.subtitle, body="\n".join(self.parts)))


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
