"""Accuracy of predicted labels over the number of genes in context, a panel per label (figure 2d)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator, ScalarFormatter

from scprint2.config.tasks import CONTROLS
from scprint2.plots.controls import BAND, EDGE, KINDS

# Okabe and Ito's palette; black is the first row.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
ACROSS, PANEL = 4, (2.5, 2.2)  # panels in a line; width and height of one, inches
FEWEST_CELLS = 20  # an accuracy over fewer cells is not drawn
STARRED = "cell_type"


def read_sweeps(tables: Iterable[str | Path]) -> pd.DataFrame:
    """Read the tables `.../<variant>/seed_<n>/<dataset>.tsv` as one, with `variant`, `seed` and `dataset`.

    Raises
    ------
    ValueError
        If one is of a version that did not compute the controls.
    """
    parts, numbers = [], ("accuracy", "majority", *CONTROLS)
    for path in map(Path, tables):
        table = pd.read_csv(path, sep="\t", keep_default_na=False, na_values=dict.fromkeys(numbers, [""]))
        if not set(CONTROLS) <= set(table.columns):
            raise ValueError(f"{path}: made by a version without the controls {CONTROLS}; remove it and sweep again")
        seed = int(path.parent.name.removeprefix("seed_"))
        parts.append(table.assign(variant=path.parent.parent.name, seed=seed, dataset=path.stem))
    return pd.concat(parts, ignore_index=True)


def plot_context_sweep(
    sweep: pd.DataFrame, *, scale: str, controls: Mapping[str, str] = MappingProxyType({})
) -> Figure:
    """Draw the mean over seeds and datasets, and the range: full for the cells that express so many genes, dashed for all.

    Behind them is the band of the controls: random values, the calls of the rows dealt to other cells, and the rows of `controls`
    (row to its kind), which have no lines.

    Raises
    ------
    ValueError
        If nothing could be computed.
    """
    usable = sweep.loc[(sweep["status"] == "ok") & (sweep["cells"] >= FEWEST_CELLS)]
    labels = list(dict.fromkeys(usable["label"]))
    if not labels:
        raise ValueError(f"no accuracy over at least {FEWEST_CELLS} cells: {sorted(set(sweep['reason']) - {''})}")
    shown = [variant for variant in dict.fromkeys(sweep["variant"]) if variant not in controls]
    colors = dict(zip(shown, PALETTE * len(sweep), strict=False))
    lines = -(-len(labels) // ACROSS)
    size = (0.4 + PANEL[0] * min(ACROSS, len(labels)), 1.1 + PANEL[1] * lines)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(lines, min(ACROSS, len(labels)), squeeze=False, sharex=True, sharey=True).ravel()
    for axis, label in zip(axes, labels, strict=False):
        part = usable.loc[usable["label"] == label]
        _draw_controls(axis, find_control_range(part, controls))
        _draw_panel(axis, part, colors, star=label == STARRED)
        axis.set_title(str(label).replace("_", " "), fontsize=9, loc="left")
    for axis in axes[len(labels) :]:
        axis.set_visible(False)
    for axis in axes[max(len(labels) - ACROSS, 0) : len(labels)]:  # nothing stands below these
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("genes in context", fontsize=8)
    handles: list[Artist] = [
        Line2D([], [], color=color, label=name.replace("_", " ")) for name, color in colors.items()
    ]
    handles += [
        Line2D([], [], color="0.4", label="cells that express so many"),
        Line2D([], [], color="0.4", linestyle="--", label="all cells"),
        Line2D([], [], color="0.4", marker="*", linestyle="", label="smoothed"),
        Line2D([], [], color="0.6", linestyle=":", label="the most frequent value for all cells"),
        Patch(facecolor=BAND, edgecolor=EDGE, linewidth=0.6, label=f"controls ({', '.join(_kinds(sweep, controls))})"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.supylabel("accuracy (%)", fontsize=9)
    datasets = ", ".join(dict.fromkeys(sweep["dataset"]))
    figure.suptitle(f"Accuracy over genes in context · {datasets} · scale {scale}", x=0.01, ha="left", fontsize=10)
    return figure


def find_control_range(sweep: pd.DataFrame, controls: Mapping[str, str]) -> pd.DataFrame:
    """`low` and `high` of the controls at each number of genes, over both groups of cells and all rows, seeds and datasets."""
    single = sweep.loc[sweep["calls"] == "single"]
    parts = [single[["genes", name]].set_axis(["genes", "value"], axis=1) for name in CONTROLS]
    rows = single.loc[single["variant"].isin(list(controls)), ["genes", "accuracy"]]
    values = pd.concat([*parts, rows.set_axis(["genes", "value"], axis=1)]).groupby("genes")["value"]
    return pd.DataFrame({"low": values.min(), "high": values.max()})


def _kinds(sweep: pd.DataFrame, controls: Mapping[str, str]) -> list[str]:
    found = {*CONTROLS, *(controls[variant] for variant in sweep["variant"] if variant in controls)}
    return [kind for kind in KINDS if kind in found]


def _draw_controls(axis: Axes, ends: pd.DataFrame) -> None:
    axis.fill_between(ends.index, ends["low"], ends["high"], color=BAND, linewidth=0, zorder=0)
    for end in ("low", "high"):
        axis.plot(ends.index, ends[end], color=EDGE, linewidth=0.6, zorder=0.1)


def _draw_panel(axis: Axes, sweep: pd.DataFrame, colors: Mapping[str, str], *, star: bool) -> None:
    floor = sweep.loc[sweep["group"] == "all"].groupby("genes")["majority"].mean()
    axis.plot(floor.index, floor, color="0.6", linestyle=":", linewidth=1.2)
    for variant, color in colors.items():
        own = sweep.loc[sweep["variant"] == variant]
        for group, dashes in (("deep", "-"), ("all", "--")):
            found = own.loc[(own["group"] == group) & (own["calls"] == "single")].groupby("genes")["accuracy"]
            if not len(found):
                continue
            mean = found.mean()
            axis.plot(mean.index, mean, color=color, linestyle=dashes, marker="o", markersize=2.5, linewidth=1.2)
            if group == "deep":
                axis.fill_between(mean.index, found.min(), found.max(), color=color, alpha=0.12, linewidth=0)
        smoothed = own.loc[(own["group"] == "deep") & (own["calls"] == "smoothed")].groupby("genes")["accuracy"].mean()
        if star and len(smoothed):
            axis.plot(smoothed.index[-1], smoothed.iloc[-1], marker="*", markersize=9, color=color)
    axis.set(xscale="log", ylim=(-3, 103))
    axis.set_xticks(sorted(set(sweep["genes"])))
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.tick_params(labelsize=7)
    axis.tick_params(axis="x", rotation=90)
    axis.spines[["top", "right"]].set_visible(False)
