"""Validation losses of every training, a row of panels per section of Table 1, a column per loss that most rows have."""

from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scprint2.plots.controls import BAND, EDGE, Band, draw_band, make_band
from scprint2.table_cells import BASE, BASELINE
from scprint2.training.progress import FIXED_COLUMNS, LAST_COLUMNS

TIDY = ["variant", "section", "seed", "step", "split", "loss", "value"]
NO_LOSSES = {*FIXED_COLUMNS, *LAST_COLUMNS, "gradient_norm"}
TRAIN, VALIDATION = "train", "validation"
# Okabe and Ito's palette without black (base) and yellow (pale on white); dashed when the colors are used up.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", (0, (3, 1.2)))
BASE_COLOR, BASE_BAND = "#000000", "#d9d9d9"
WIDTH, PANEL, LEGEND = 8.27, 1.28, 1.75  # A4; height of a row of panels and width of its legend, inches
NOTE = 0.09  # height of a line of notes, as a share of the panel's
FAR = 1.5  # a curve that ends further from base's than this, in heights of base's curve, is named instead of drawn


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read the trained rows of a written Table 1: `variant, section, name`, in their order."""
    table = pd.read_csv(path, keep_default_na=False)
    return table.loc[table["section"] != BASELINE, ["variant", "section", "name"]].reset_index(drop=True)


def read_histories(models: Iterable[str | Path], rows: pd.DataFrame) -> pd.DataFrame:
    """Read every loss of every training as one tidy frame: `variant, section, seed, step, split, loss, value`.

    Parameters
    ----------
    models
        Model folders `.../<variant>/seed_<n>`, each with a `history.csv`.
    rows
        `variant` and `section` of the rows; models of other rows are left out.
    """
    sections = dict(zip(rows["variant"], rows["section"], strict=True))
    order = {variant: number for number, variant in enumerate(sections)}
    places = [(Path(path).parent.name, int(Path(path).name.removeprefix("seed_")), Path(path)) for path in models]
    parts = []
    for variant, seed, path in sorted(
        (place for place in places if place[0] in order), key=lambda place: (order[place[0]], place[1])
    ):
        history = pd.read_csv(path / "history.csv")
        if history.empty:
            continue  # a row that is not trained
        losses = [name for name in history.columns if name not in NO_LOSSES]
        tidy = history.melt(id_vars=["step", "split"], value_vars=losses, var_name="loss", value_name="value")
        parts.append(tidy.assign(variant=variant, section=sections[variant], seed=seed))
    if not parts:
        raise ValueError("none of the models was trained and belongs to a row of the table: there is nothing to draw")
    return pd.concat(parts, ignore_index=True).reindex(columns=TIDY)


def find_common_losses(curves: pd.DataFrame) -> list[str]:
    """Losses that more than half of the trained rows are validated on, in the order of the histories."""
    validated = curves.loc[curves["split"] == VALIDATION].dropna(subset="value")
    counts = {str(loss): part["variant"].nunique() for loss, part in validated.groupby("loss", sort=False)}
    return [loss for loss, count in counts.items() if count > validated["variant"].nunique() / 2]


def find_untrained(curves: pd.DataFrame, loss: str) -> Band | None:
    """The band of one loss before there was any training to speak of: the first logged steps of base's seeds."""
    chosen = (curves["variant"] == BASE) & (curves["loss"] == loss) & (curves["split"] == TRAIN)
    own = curves.loc[chosen & curves["value"].notna()]
    first = own.sort_values("step").drop_duplicates("seed")
    return make_band(("untrained", float(value)) for value in first["value"])


def plot_learning_curves(curves: pd.DataFrame, rows: pd.DataFrame, *, scale: str) -> Figure:
    """Draw validation losses against steps: base black over the range of its seeds, one color per row, one line per seed.

    Parameters
    ----------
    curves
        As `read_histories` gives them.
    rows
        `variant`, `section` and `name` of the rows to show, in their order.
    """
    validated = curves.loc[curves["split"] == VALIDATION].dropna(subset="value")
    losses, sections = find_common_losses(curves), list(dict.fromkeys(rows["section"]))
    if not losses:
        raise ValueError("no training has a validation loss: there is nothing to draw")
    names, trained = dict(zip(rows["variant"], rows["name"], strict=True)), set(validated["variant"])
    figure, axes = _place_panels(sections, losses, scale=scale)
    for section, line in zip(sections, axes, strict=True):
        own = rows.loc[(rows["section"] == section) & (rows["variant"] != BASE), "variant"]
        styles = {name: _style(number) for number, name in enumerate(own)}
        for loss, axis in zip(losses, line, strict=False):
            _draw_panel(axis, validated.loc[validated["loss"] == loss], styles, names=names, trained=trained)
            draw_band(axis, find_untrained(curves, loss), labeled=False)
        _draw_legend(line[-1], styles, names=names, trained=trained)
    return figure


def _place_panels(sections: list[str], losses: list[str], *, scale: str) -> tuple[Figure, np.ndarray]:
    """Make the figure; the last column of its axes is for the legends."""
    height = PANEL * len(sections) + 0.84
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    figure.text(0.3 / WIDTH, 1 - 0.2 / height, "Learning curves", fontsize=11, fontweight="bold", va="center")
    subtitle = (
        f"scale {scale} · validation losses against steps · levels compare only where views and loss are the same"
    )
    figure.text(0.3 / WIDTH, 1 - 0.38 / height, subtitle, fontsize=6.5, va="center", color="#555555")
    edges = {"left": 0.62 / WIDTH, "right": 1 - 0.05 / WIDTH, "top": 1 - 0.7 / height, "bottom": 0.34 / height}
    shares = [1] * len(losses) + [LEGEND * len(losses) / (WIDTH - LEGEND - 0.9)]
    axes = figure.subplots(
        len(sections),
        len(losses) + 1,
        squeeze=False,
        gridspec_kw={"width_ratios": shares, "hspace": 0.32, "wspace": 0.3, **edges},
    )
    for axis, loss in zip(axes[0], losses, strict=False):
        axis.set_title(loss.replace("_", " "), fontsize=7.5, loc="left", fontweight="bold")
    for axis in axes[-1, :-1]:
        axis.set_xlabel("step", fontsize=6.5)
    for axis, section in zip(axes[:, 0], sections, strict=True):
        axis.set_ylabel(section, fontsize=7, fontweight="bold")
    return figure, axes


def _style(number: int) -> dict:
    """Color and dashes of the n-th row of a section."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "linestyle": DASHES[number // len(PALETTE) % len(DASHES)],
    }


def _draw_panel(
    axis: Axes, curves: pd.DataFrame, styles: dict[str, dict], *, names: dict[str, str], trained: set[str]
) -> None:
    """Draw one loss of the rows of a section over that of base; name the rows that lie far off or lack it."""
    axis.tick_params(labelsize=5.5, length=2, pad=1.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.03)
    base = curves.loc[curves["variant"] == BASE]
    low, high = _window(base["value"].to_numpy())
    apart: list[tuple[str, str]] = []
    for variant, style in styles.items():
        own = curves.loc[curves["variant"] == variant]
        if own.empty and variant in trained:
            apart.append((f"{names[variant]}: not used", style["color"]))
        if own.empty:
            continue
        last = own.loc[own["step"] == own["step"].max(), "value"].mean()
        if not low <= last <= high:
            arrow = "▲" if last > high else "▼"
            apart.append((f"{arrow} {names[variant]}: ends at {last:.3g}", style["color"]))
            continue
        for _, line in own.groupby("seed"):
            axis.plot(line["step"], line["value"], **style, linewidth=1.0, label=variant)
    _draw_base(axis, base)
    bottom, top = axis.get_ylim()
    bottom, top = max(bottom, low), min(top, high)
    _note(axis, apart, bottom=bottom, top=top)


def _note(axis: Axes, notes: list[tuple[str, str]], *, bottom: float, top: float) -> None:
    """Write colored notes above the curves, in room that is made for them."""
    lines = [(line, color) for text, color in notes for line in wrap(text, width=36, subsequent_indent="   ")]
    share = min(0.6, NOTE * len(lines))
    axis.set_ylim(bottom, bottom + (top - bottom) / (1 - share))
    for number, (text, color) in enumerate(lines):
        style = {"fontsize": 5, "ha": "left", "va": "top", "transform": axis.transAxes}
        axis.text(0.03, 1.02 - NOTE * number, text, color=color, **style)


def _window(base: Float[np.ndarray, " point"]) -> tuple[float, float]:
    """The part of the axis around base's curve that is worth the room; all of it where base has no such loss."""
    if base.size == 0 or base.max() == base.min():
        return float("-inf"), float("inf")
    span = float(base.max() - base.min())
    return float(base.min()) - FAR * span, float(base.max()) + FAR * span


def _draw_base(axis: Axes, base: pd.DataFrame) -> None:
    """Draw the mean over seeds and their range, over the steps that all seeds reached."""
    if base.empty:
        return
    seeds = base.pivot(index="step", columns="seed", values="value").dropna()
    steps, values = seeds.index.to_numpy(), seeds.to_numpy()
    axis.fill_between(steps, values.min(1), values.max(1), color=BASE_BAND, linewidth=0, zorder=1.5)
    axis.plot(steps, values.mean(1), color=BASE_COLOR, linewidth=1.3, label=BASE, zorder=1.8)


def _draw_legend(axis: Axes, styles: dict[str, dict], *, names: dict[str, str], trained: set[str]) -> None:
    """Draw the names of a section's rows; a row without any curve says so."""
    axis.axis("off")
    handles: list[Artist] = [Line2D([], [], color=BASE_COLOR, linewidth=1.3)]
    labels = ["base, range of its seeds"]
    handles.append(Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6))
    labels.append("control: untrained (base's first steps)")
    for variant, style in styles.items():
        handles.append(Line2D([], [], **style, linewidth=1.2))
        text = names[variant] if variant in trained else f"{names[variant]} (no curve)"
        labels.append("\n".join(wrap(text, width=34)))
    axis.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(-0.17, 1.06),
        frameon=False,
        **{"fontsize": 5.4, "handlelength": 1.8, "labelspacing": 0.3, "borderaxespad": 0},
    )
