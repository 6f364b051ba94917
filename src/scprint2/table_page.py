"""Table 1 as it is read: the paper's layout, as a page that needs nothing else (HTML) and as a figure (PDF)."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from scprint2.pages import render_template
from scprint2.plots.table import Display, DisplayCell, DisplayRow, DisplaySection, State
from scprint2.stats import Verdict
from scprint2.table_cells import ABSENT, BASE, BASELINE, COST, FAILED, Cell, Cells, Row
from scprint2.table_comparisons import describe_tests

GROUPS: Mapping[str, tuple[str, str]] = {  # column -> the paper's heading of its group and of the column
    COST: ("cost", "min / epoch"),
    "denoise": ("denoising", "gain"),
    "scib_lung": ("embedding, batch correction", "lung"),
    "scib_pancreas": ("embedding, batch correction", "pancreas"),
    "ct_lung": ("cell type prediction", "lung"),
    "ct_pancreas": ("cell type prediction", "pancreas"),
    "or_gwps": ("gene regulatory network", "OR gwps"),
    "or_omni": ("gene regulatory network", "OR omni"),
    "auprc_gwps": ("gene regulatory network", "AUPRC gwps"),
    "auprc_omni": ("gene regulatory network", "AUPRC omni"),
}
LOWER_IS_BETTER = {COST}
WORTH: Mapping[str, str] = {
    "mini": "Simulated cells and a tiny model trained for minutes: these numbers show that every step of the benchmark runs, "
    "and whether a trained model can be told from an untrained one where the truth is known. They say nothing about real cells, "
    "and the order of the rows says nothing about the order at the paper's size.",
    "pocket": "Small real datasets and a small model: differences hold for these data and this budget of training. The order of "
    "the rows can change with more data and longer training; hold only the direction of an effect against the paper.",
    "paper": "The paper's model, data and training. Training is stopped after a fixed number of epochs, not at convergence.",
}


def lay_out(
    rows: Sequence[Row],
    cells: Cells,
    *,
    columns: Sequence[str],
    comparisons: pd.DataFrame,
    scale: str,
    device: str,
    cards: Mapping[str, str] = MappingProxyType({}),
    pages: Mapping[str, str] | None = None,
) -> Display:
    """Lay the table out in the paper's order of columns, grey where a row cannot be told from base.

    Where a variant has a page in `pages`, its name leads there, and each of its cells to the part that is named as the column.
    """
    pages = pages or {}
    tests = _describe_tests(comparisons)
    certain = _find_certain(comparisons)
    footnotes: dict[str, str] = {}  # text -> mark
    decimals = {column: _decimals(cells, column) for column in columns}
    sections = []
    for name in dict.fromkeys(row.section for row in rows):
        lines = []
        for row in (row for row in rows if row.section == name):
            line = tuple(
                _lay_out_cell(
                    cells[row.variant, column],
                    row,
                    column,
                    decimals=decimals[column],
                    certain=(row.variant, column) in certain,
                    test=tests.get((row.variant, column), ""),
                    footnotes=footnotes,
                    page=pages.get(row.variant, ""),
                )
                for column in columns
            )
            shown = f"{row.name} ({len(row.seeds)} seeds)" if len(row.seeds) > 1 else row.name
            title = f"{row.variant}, compared with {row.reference}, run {row.run_id}"
            lines.append(DisplayRow(shown, line, title, pages.get(row.variant, "")))
        sections.append(DisplaySection("Baselines and controls" if name == BASELINE else name, tuple(lines)))
    groups, headings = group_columns(columns)
    return Display(
        title="Table 1. The additive benchmark",
        subtitle=f"scale {scale} · trained on {device or 'no device'} · {_count_seeds(rows)}",
        groups=groups,
        columns=headings,
        sections=tuple(sections),
        notes=_notes(scale, comparisons),
        footnotes=tuple((mark, text) for text, mark in footnotes.items()),
        column_titles=tuple(cards.get(column, "") for column in columns),
    )


def group_columns(columns: Sequence[str]) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...]]:
    """Headings of the groups of columns, each with how many columns it spans, and of the columns."""
    headings = [GROUPS.get(column, ("", column)) for column in columns]
    groups: list[tuple[str, int]] = []
    for group, _ in headings:
        span = groups.pop()[1] if groups and groups[-1][0] == group else 0
        groups.append((group, span + 1))
    return tuple(groups), tuple(heading for _, heading in headings)


def name_columns(columns: Sequence[str]) -> dict[str, str]:
    """Each column's headings in one line, for where it stands alone."""
    groups, headings = group_columns(columns)
    spanned = [title for title, span in groups for _ in range(span)]
    pairs = zip(columns, spanned, headings, strict=True)
    return {column: f"{group}: {heading}" if group else heading for column, group, heading in pairs}


def render_html(display: Display) -> str:
    """Render the table as one HTML page without scripts, fonts or images from elsewhere."""
    return render_template("table1.html", display=display)


def _find_certain(comparisons: pd.DataFrame) -> set[tuple[str, str]]:
    """The (variant, column) that can be told from base."""
    told = comparisons[comparisons["distinguishable"] & (comparisons["reference"] == BASE)]
    return set(zip(told["variant"], told["column"], strict=True))


def _describe_tests(comparisons: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Say what is known of a (variant, column) beside its verdicts: by false discoveries, by paired tests, over other units."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in comparisons.to_dict("records"):
        of = "" if line["reference"] == BASE else f" of {line['reference']}"
        texts = found.setdefault((line["variant"], line["column"]), [])
        if line["verdict"] in ("above", "below"):
            texts.append(f"q{of} = {line['verdict_q']:.2g} over all cells")
        if line["pairs"] is not pd.NA and not pd.isna(line["q_value"]):
            texts.append(f"paired test over {line['pairs']} seeds{of}: q = {line['q_value']:.2g}")
        if line["unit"]:
            low, high = line["unit_low"], line["unit_high"]
            texts.append(
                f"difference to {line['reference']} over {line['units']} {line['unit']}s: {low:.3g} to {high:.3g}"
            )
    return {key: "; ".join(texts) for key, texts in found.items()}


def _lay_out_cell(
    cell: Cell,
    row: Row,
    column: str,
    *,
    decimals: int,
    certain: bool,
    test: str,
    footnotes: dict[str, str],
    page: str,
) -> DisplayCell:
    link = page and f"{page}#{column}"
    if cell.mean is None:
        if cell.status == ABSENT:
            return DisplayCell("n/a", "absent", title=cell.reason, link=link)
        mark = footnotes.setdefault(f"{row.name}: {cell.reason}", str(len(footnotes) + 1))
        return DisplayCell(FAILED, "failed", mark=mark, title=cell.reason, link=link)
    spread = f"± {cell.deviation:.{decimals}f}" if cell.deviation is not None else ""
    title = f"{cell.mean:.6g} over {len(cell.values)} seed{'s' * (len(cell.values) > 1)}"
    for reference, verdict in {BASE: cell.verdict_base, row.reference: cell.verdict}.items():
        title += f"; {_describe(reference, verdict, decimals=decimals)}" if verdict else ""
    title += f"; {test}" if test else ""
    mark = ""
    if cell.verdict_base and cell.verdict_base.verdict == "unknown":
        mark = footnotes.setdefault(f"Not compared with {BASE}: {cell.verdict_base.reason}.", str(len(footnotes) + 1))
    return DisplayCell(
        f"{cell.mean:z.{decimals}f}",
        _state(cell.verdict_base, column, certain=certain),
        spread=spread,
        mark=mark,
        title=title,
        value=cell.mean,
        link=link,
    )


def _state(verdict: Verdict | None, column: str, *, certain: bool) -> State:
    """How a cell is shown: by what it means, not by its direction."""
    if verdict is None or verdict.verdict == "unknown":
        return "plain"
    if not certain:
        return "inside"
    return "better" if (verdict.verdict == "above") != (column in LOWER_IS_BETTER) else "worse"


def _describe(reference: str, verdict: Verdict, *, decimals: int) -> str:
    if verdict.low is None or verdict.high is None:
        return f"not compared with {reference}: {verdict.reason}"
    return f"{verdict.verdict} the interval of {reference}, {verdict.low:z.{decimals}f} to {verdict.high:z.{decimals}f}"


def _decimals(cells: Cells, column: str) -> int:
    """Decimals that give the largest value of a column three digits."""
    means = [cell.mean for (_, name), cell in cells.items() if name == column]
    largest = max((abs(mean) for mean in means if mean), default=1.0)
    return min(5, max(0, 2 - math.floor(math.log10(largest))))


def _count_seeds(rows: Sequence[Row]) -> str:
    trained = [row for row in rows if row.section != BASELINE]
    numbers = {row.variant: len(row.seeds) for row in trained}
    base = numbers.pop(BASE, 0)
    others = sorted(set(numbers.values()))
    rest = " to ".join(map(str, dict.fromkeys((others[0], others[-1])))) if others else "0"
    return f"seeds: {base} for base, {rest} for the other rows"


def _notes(scale: str, comparisons: pd.DataFrame) -> tuple[str, ...]:
    worth = WORTH.get(scale, f"The scale {scale!r} is a test of the workflow; its numbers mean nothing.")
    return (
        f"What these numbers are worth: {worth}",
        "Blue ▲ is better and orange ▼ is worse than base by more than the spread over seeds; grey cannot be told from base: the "
        "row's mean over seeds lies in the 95 % prediction interval of base, mean ± t · s · √(1/n + 1/m), with n and m the "
        "seeds of base and of the row, and s pooled over all rows with several seeds while base has fewer than five; or it lies "
        "outside, but no longer when at most 5 % of all cells that are called different may be false (Benjamini-Hochberg). How a "
        "row compares with its own reference stands in the CSV files.",
        f"A row without ± was trained with one seed (n = 1): its verdict rests on the spread of other rows. "
        f"{describe_tests(comparisons)}",
        "± is the standard deviation over seeds. n/a: the row does not do the task, or trains nothing. Denoising: 100 × gain in "
        "Spearman correlation over the noisy counts. Embedding: scIB total × 100. Cell types: accuracy × 100. Networks: odds "
        "ratio (1 is chance) and area above the prevalence line (0 is chance).",
    )
