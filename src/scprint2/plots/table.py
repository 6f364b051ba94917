"""A table of results as a picture: sections, grouped columns, cells that say how they compare."""

from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

State = Literal["better", "worse", "inside", "plain", "failed", "absent"]

BETTER, WORSE, INSIDE, ABSENT, INK = "#00598c", "#b34700", "#8a8a8a", "#bdbdbd", "#1a1a1a"  # safe for the color-blind
COLORS: dict[State, str] = {
    "better": BETTER,
    "worse": WORSE,
    "inside": INSIDE,
    "plain": INK,
    "failed": "#a00000",
    "absent": ABSENT,
}
TINTS: dict[State, str] = {"better": "#e3f0f8", "worse": "#fbeadf", "failed": "#fbe3e3"}
ARROWS: dict[State, str] = {"better": " ▲", "worse": " ▼"}
ROW, HEADER, NOTE = 0.235, 0.27, 0.165  # heights, in inches
SECTION_WIDTH, MARGIN = 1.6, 0.3
NARROW, LETTER, SMALL_LETTER = (
    0.8,
    0.068,
    0.056,
)  # least width of a column; widths of a letter of a value and of its spread
CHARACTERS_PER_INCH = 16.5  # of a note's text


@dataclass(frozen=True)
class DisplayCell:
    """One cell as it is shown.

    Attributes
    ----------
    spread
        What stands behind the value in small type, such as `± 1.5`.
    mark
        Mark of a footnote.
    title
        What a reader sees when pointing at the cell.
    value
        What a page sorts by; None goes last.
    link
        Where the cell of a page leads; empty for nowhere.
    """

    text: str
    state: State = "plain"
    spread: str = ""
    mark: str = ""
    title: str = ""
    value: float | None = None
    link: str = ""


@dataclass(frozen=True)
class DisplayRow:
    """One row as it is shown."""

    name: str
    cells: tuple[DisplayCell, ...]
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class DisplaySection:
    """Rows under one heading."""

    name: str
    rows: tuple[DisplayRow, ...]


@dataclass(frozen=True)
class Display:
    """A table as it is shown.

    Attributes
    ----------
    groups
        Heading and number of columns of each group of columns.
    columns
        Heading of each column.
    footnotes
        Mark and text.
    column_titles
        What a reader sees when pointing at the heading of each column.
    """

    title: str
    subtitle: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    sections: tuple[DisplaySection, ...]
    notes: tuple[str, ...]
    footnotes: tuple[tuple[str, str], ...]
    column_titles: tuple[str, ...] = ()


def plot_table(display: Display) -> Figure:
    """Draw the table; the size of the figure follows from its rows, columns and notes."""
    edges = _place_columns(display)
    width = edges[-1] + MARGIN
    notes = _wrap_notes(display, characters=int((width - 2 * MARGIN) * CHARACTERS_PER_INCH))
    rows = sum(len(section.rows) for section in display.sections)
    height = 2 * MARGIN + 0.62 + 2 * HEADER + 0.1 + ROW * rows + 0.2 + NOTE * len(notes)
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    axes.text(MARGIN, MARGIN + 0.13, display.title, fontsize=13, fontweight="bold", color=INK, va="center")
    axes.text(MARGIN, MARGIN + 0.40, display.subtitle, fontsize=8.5, color="#555555", va="center")
    top = _draw_headers(axes, display, top=MARGIN + 0.62, edges=edges)
    for section in display.sections:
        top = _draw_section(axes, section, top=top, edges=edges)
    for number, line in enumerate(notes):
        axes.text(MARGIN, top + 0.2 + NOTE * number, line, fontsize=7.2, color="#444444", va="center")
    return figure


def _place_columns(display: Display) -> list[float]:
    """Left edge of each column of values, and the right edge of the last, so that every cell fits."""
    rows = [row for section in display.sections for row in section.rows]
    edges = [MARGIN + SECTION_WIDTH + max(LETTER * len(row.name) for row in rows) + 0.15]
    shares = [
        0.075 * len(title) / span + 0.1 for title, span in display.groups for _ in range(span)
    ]  # of a bold heading
    for number, title in enumerate(display.columns):
        cells = [row.cells[number] for row in rows]
        letters = [LETTER * (len(_text(cell)) + 1) + SMALL_LETTER * len(cell.spread) for cell in cells]
        edges.append(edges[-1] + max(NARROW, shares[number], LETTER * len(title) + 0.15, max(letters) + 0.15))
    return edges


def _draw_headers(axes: Axes, display: Display, *, top: float, edges: list[float]) -> float:
    """Draw the headings; return where the first row begins."""
    axes.plot([MARGIN, edges[-1]], [top, top], color=INK, linewidth=1.2)
    bold = {"fontsize": 8.2, "fontweight": "bold", "ha": "center", "va": "center", "color": INK}
    first = 0
    for title, span in display.groups:
        left, right = edges[first], edges[first + span]
        axes.text((left + right) / 2, top + HEADER / 2, title, **bold)
        if title and span > 1:
            axes.plot([left + 0.08, right - 0.08], [top + HEADER, top + HEADER], color="#999999", linewidth=0.6)
        first += span
    for title, left, right in zip(display.columns, edges, edges[1:], strict=False):
        axes.text((left + right) / 2, top + 1.5 * HEADER, title, fontsize=8, ha="center", va="center", color="#444444")
    return top + 2 * HEADER + 0.05


def _draw_section(axes: Axes, section: DisplaySection, *, top: float, edges: list[float]) -> float:
    """Draw one section; return where the next begins."""
    axes.plot([MARGIN, edges[-1]], [top, top], color="#777777", linewidth=0.7)
    axes.text(MARGIN, top + ROW / 2, section.name, fontsize=8, fontweight="bold", va="center", color="#333333")
    left = MARGIN + SECTION_WIDTH
    for number, row in enumerate(section.rows):
        middle = top + ROW * (number + 0.5)
        if number:
            axes.plot([left, edges[-1]], [middle - ROW / 2] * 2, color="#e8e8e8", linewidth=0.5)
        axes.text(left, middle, row.name, fontsize=8.2, va="center", color=INK)
        for cell, start, end in zip(row.cells, edges, edges[1:], strict=False):
            _draw_cell(axes, cell, left=start, right=end, middle=middle)
    return top + ROW * len(section.rows)


def _draw_cell(axes: Axes, cell: DisplayCell, *, left: float, right: float, middle: float) -> None:
    """Draw a value, its spread in small type behind it, on a tint where it stands out."""
    if cell.state in TINTS:
        box = Rectangle((left + 0.03, middle - ROW / 2 + 0.015), right - left - 0.06, ROW - 0.03, linewidth=0)
        box.set_facecolor(TINTS[cell.state])
        axes.add_patch(box)
    bold = cell.state in ("better", "worse") or (cell.state == "plain" and not cell.mark)
    behind = SMALL_LETTER * len(cell.spread)
    style = {"fontsize": 8, "fontweight": "bold" if bold else "normal", "color": COLORS[cell.state]}
    center = (left + right - behind) / 2
    axes.text(center, middle, _text(cell), ha="center", va="center", **style)
    if cell.spread:
        start = center + LETTER * len(_text(cell)) / 2 + 0.03
        axes.text(start, middle, cell.spread, ha="left", va="center", fontsize=6.6, color="#777777")


def _text(cell: DisplayCell) -> str:
    """The value with its arrow and the mark of its footnote."""
    return cell.text + ARROWS.get(cell.state, "") + (f" [{cell.mark}]" if cell.mark else "")


def _wrap_notes(display: Display, *, characters: int) -> list[str]:
    """Notes and footnotes, broken into lines."""
    lines: list[str] = []
    for note in (*display.notes, *(f"[{mark}] {text}" for mark, text in display.footnotes)):
        lines += wrap(note, width=characters, subsequent_indent="    ")
    return lines
