"""Figures of the integration benchmark: the table of scores and the embeddings themselves."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Num, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.manifold import TSNE

from scprint2.plots.controls import BAND, EDGE, Band

CAPTION = (
    "A t-SNE is a picture, not evidence: distances, sizes and gaps in it mean little. Read the scores; "
    "the same method would also draw islands for cells that do not differ."
)
PARTS = {"bio": ("#4477aa", "o"), "batch": ("#ccbb44", "s"), "total": ("#222222", "D")}
MOST_POINTS = 5000
LEAST_POINTS = 3
MOST_COLORS = 20  # more cannot be told apart; the smaller groups are drawn in gray and counted in the legend


def draw_map(
    embedding: Num[np.ndarray, "cell dim"], *, seed: int
) -> tuple[Int[np.ndarray, " drawn"], Float[np.ndarray, "drawn 2"]]:
    """Rows of at most `MOST_POINTS` cells, drawn without replacement, and their places in a t-SNE.

    Cells whose embedding is not finite are left out; none is drawn where fewer than `LEAST_POINTS` are left.

    t-SNE, since it needs no just-in-time compiler, whose start costs each notebook ten seconds.
    """
    order = np.random.default_rng(seed).permutation(len(embedding))
    rows = np.sort(order[np.isfinite(embedding[order]).all(axis=1)][:MOST_POINTS])
    if len(rows) < LEAST_POINTS:
        return rows[:0], np.empty((0, 2), dtype=np.float32)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    tsne = TSNE(init="pca", perplexity=perplexity, random_state=seed, max_iter=500)
    return rows, tsne.fit_transform(np.asarray(embedding, dtype=np.float32)[rows])


def embedding_panels(
    coordinates: Float[np.ndarray, "cell 2"], groups: Mapping[str, Shaped[np.ndarray, " cell"]], *, title: str
) -> Figure:
    """Draw one embedding once per way to color it, such as by cell type and by batch."""
    figure, axes = plt.subplots(1, len(groups), figsize=(6.2 * len(groups), 4.6), squeeze=False, layout="constrained")
    for axis, (name, values) in zip(axes[0], groups.items(), strict=True):
        _scatter(axis, coordinates, values.astype(str))
        axis.set_title(name, loc="left", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.supxlabel("\n".join(textwrap.wrap(CAPTION, 68 * len(groups))), x=0.01, ha="left", fontsize=8, color="0.35")
    return figure


def _scatter(axis: Axes, coordinates: Float[np.ndarray, "cell 2"], values: Shaped[np.ndarray, " cell"]) -> None:
    counts = dict(Counter(values.tolist()).most_common())
    shown = list(counts)[:MOST_COLORS]
    colors = plt.get_cmap("tab20" if len(shown) > 10 else "tab10")
    rest = ~np.isin(values, shown)
    if rest.any():
        label = f"{len(counts) - len(shown)} more ({int(rest.sum())})"
        axis.scatter(*coordinates[rest].T, s=4, color="0.8", label=label, rasterized=True, linewidths=0)
    for number, name in enumerate(sorted(shown)):
        inside = values == name
        axis.scatter(
            *coordinates[inside].T,
            s=5,
            color=colors(number),
            label=f"{name} ({counts[name]})",
            rasterized=True,
            linewidths=0,
        )
    axis.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    axis.spines[["top", "right"]].set_visible(False)
    columns = 1 if len(shown) <= 14 else 2
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7, markerscale=2.5, ncols=columns)


def integration_table(
    scores: pd.DataFrame,
    *,
    parts: Mapping[str, Sequence[str]],
    totals: Mapping[str, str],
    title: str,
    bands: Mapping[tuple[str, str], Band] = MappingProxyType({}),
) -> Figure:
    """Draw scores as scIB does: a circle per part, a bar per total, one row per dataset.

    A brown strip under a bar is where the controls end; a brown ring says that a part is no better than the best of them.

    Parameters
    ----------
    scores
        Rows are datasets, columns metrics; NaN where a metric failed.
    parts
        Heading to its metrics, each in [0, 1]; drawn as circles.
    totals
        Metric (in percent) to its heading; drawn as bars that end at 100.
    bands
        (dataset, metric) to the band of its controls.
    """
    columns = [metric for metrics in parts.values() for metric in metrics]
    positions = _positions([len(metrics) for metrics in parts.values()], len(totals))
    size = (2.2 + 0.62 * (positions[-1] + 1), 1.9 + 0.55 * len(scores))
    figure, axis = plt.subplots(figsize=size)
    for row, dataset in enumerate(scores.index):
        values = scores.loc[dataset]
        for place, metric in zip(positions, columns, strict=False):
            _circle(axis, place, row, float(values[metric]), bands.get((str(dataset), metric)))
        for place, metric in zip(positions[len(columns) :], totals, strict=True):
            _bar(axis, place, row, float(values[metric]), bands.get((str(dataset), metric)))
    for place, name in zip(positions, [*columns, *totals.values()], strict=True):
        axis.text(place, -0.6, name.replace("_", " "), rotation=35, ha="left", va="bottom", fontsize=8)
    start = 0
    for heading, metrics in parts.items():
        middle = float(np.mean(positions[start : start + len(metrics)]))
        axis.text(middle, len(scores) - 0.4, heading, ha="center", va="top", fontsize=9, fontweight="bold")
        start += len(metrics)
    axis.set(xlim=(-0.7, positions[-1] + 1.3), ylim=(len(scores) - 0.15, -0.55), xticks=[])
    axis.set_yticks(range(len(scores)), [str(name) for name in scores.index])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.suptitle(title, x=0.01, y=0.98, ha="left", fontweight="bold", fontsize=10)
    figure.subplots_adjust(left=1.3 / size[0], right=0.99, bottom=0.04, top=1 - 1.5 / size[1])
    return figure


def kinds_figure(
    tables: Mapping[str, pd.DataFrame], *, title: str, bands: Mapping[tuple[str, str], Band] = MappingProxyType({})
) -> Figure:
    """Draw the bio part, the batch part and the total of each kind of embedding, one panel per dataset.

    The last line has where the controls end, for each of the three; a brown ring says that a score is no better than the best
    of them.

    Parameters
    ----------
    tables
        Dataset to its scores in percent: rows are kinds, columns `bio`, `batch` and `total`; NaN where one failed.
    bands
        (dataset, metric) to the band of its controls, which have one kind of embedding only.
    """
    rows = max(map(len, tables.values())) + bool(bands)
    figure, axes = plt.subplots(
        1, len(tables), figsize=(4.9 * len(tables), 1.5 + 0.3 * rows), squeeze=False, layout="constrained", sharex=True
    )
    for axis, (dataset, table) in zip(axes[0], tables.items(), strict=True):
        places, names = np.arange(len(table)), [str(kind).replace("_", " ") for kind in table.index]
        own = {part: band for part in PARTS if (band := bands.get((dataset, f"scib_{part}")))}
        for part, (color, marker) in PARTS.items():
            covered = [part in own and own[part].covers(value) for value in table[part]]
            rings = np.where(covered, 2.0, 0.0)
            style = {"color": color, "marker": marker, "edgecolors": EDGE, "linewidths": rings}
            axis.scatter(table[part], places, s=42, zorder=3, **style)
        if own:
            _draw_ends(axis, own, place=len(table))
            names.append(f"controls\n({', '.join(next(iter(own.values())).kinds)})")
        axis.set_yticks(range(len(names)), names)
        axis.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5), xlabel="percent")
        axis.set_title(dataset, loc="left", fontsize=10)
        axis.grid(axis="y", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    marks = [Line2D([], [], ls="", color=color, marker=marker, label=part) for part, (color, marker) in PARTS.items()]
    axes[0][-1].legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=10)
    return figure


def _draw_ends(axis: Axes, bands: Mapping[str, Band], *, place: int) -> None:
    """Draw from where to where the controls reach, a bar for each part, with the part's mark at its end."""
    for offset, (part, band) in zip((-0.27, 0.0, 0.27), bands.items(), strict=False):
        color, marker = PARTS[part]
        axis.barh(place + offset, band.high - band.low, left=band.low, height=0.22, color=BAND, edgecolor=EDGE, lw=0.6)
        axis.scatter(band.high, place + offset, color=color, marker=marker, s=14, zorder=3)


def _positions(sizes: Sequence[int], totals: int) -> list[float]:
    """Where each column stands: parts side by side with gaps between the headings, totals further apart."""
    places, place = [], 0.0
    for size in sizes:
        places += [place + column for column in range(size)]
        place += size + 0.5
    return places + [place + 1.6 * column for column in range(totals)]


def _circle(axis: Axes, place: float, row: int, value: float, band: Band | None) -> None:
    if np.isnan(value):
        _failed(axis, place, row)
        return
    share = float(np.clip(value, 0, 1))
    ring = 2.2 if band is not None and band.covers(value) else 0
    axis.scatter(place, row, s=380, facecolor=plt.get_cmap("viridis")(share), edgecolor=EDGE, linewidths=ring)
    axis.text(
        place, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color="black" if share > 0.6 else "white"
    )


def _bar(axis: Axes, place: float, row: int, value: float, band: Band | None) -> None:
    if np.isnan(value):
        _failed(axis, place, row)
        return
    axis.barh(row, 1.3, left=place - 0.4, height=0.5, color="0.92")
    axis.barh(row, 1.3 * value / 100, left=place - 0.4, height=0.5, color="#88bbdd")
    axis.text(place - 0.33, row, f"{value:.1f}", ha="left", va="center", fontsize=8)
    if band is not None:
        width = max(band.high - band.low, 1.0)  # a single control shows too
        axis.barh(row + 0.31, 1.3 * width / 100, left=place - 0.4 + 1.3 * band.low / 100, height=0.1, color=EDGE)


def _failed(axis: Axes, place: float, row: int) -> None:
    axis.text(place, row, "failed", ha="center", va="center", fontsize=7, color="0.4", style="italic")
