"""The band of the controls: where methods end that know nothing of the cells, drawn behind what claims to be better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes

BAND, EDGE = "#ead9c4", "#a8845a"
KINDS = ("random", "shuffled", "untrained")
MARGIN = 0.05  # beyond the best control, as a share of the axis


@dataclass(frozen=True)
class Band:
    """The range of one metric over the controls of one dataset.

    Attributes
    ----------
    kinds
        The kinds of controls that it spans, of `KINDS`; one that is missing was not run.
    """

    low: float
    high: float
    kinds: tuple[str, ...]

    @property
    def label(self) -> str:
        """What a legend says."""
        return f"controls ({', '.join(self.kinds)})"

    def scaled(self, factor: float) -> "Band":
        """The band in another unit."""
        return Band(self.low * factor, self.high * factor, self.kinds)

    def subtracted_from(self, whole: float) -> "Band":
        """The band of what is left of a whole, such as accuracies where it is of error rates."""
        return Band(whole - self.high, whole - self.low, self.kinds)

    def covers(self, value: float, *, lower_is_better: bool = False) -> bool:
        """Whether a value is no better than the best of the controls."""
        return value >= self.low if lower_is_better else value <= self.high


def make_band(values: Iterable[tuple[str, float]]) -> Band | None:
    """The band over (kind, value) of controls; None where there are none."""
    pairs = list(values)
    if not pairs:
        return None
    numbers = [value for _, value in pairs]
    found = {kind for kind, _ in pairs}
    return Band(min(numbers), max(numbers), tuple(kind for kind in KINDS if kind in found))


def join_bands(bands: Iterable[Band | None]) -> Band | None:
    """The range of several bands, such as those of several datasets; None where there are none."""
    return make_band((kind, end) for band in bands if band for kind in band.kinds for end in (band.low, band.high))


def draw_band(axis: Axes, band: Band | None, *, along: Literal["x", "y"] = "y", labeled: bool = True) -> None:
    """Shade the band behind everything else, across the axis that its values are `along`; nothing where there is none.

    Its ends are lines, so that a single control shows too. The limits of the axis stay as they are.
    """
    if band is None:
        return
    limits = axis.get_xlim(), axis.get_ylim()
    span, line = (axis.axhspan, axis.axhline) if along == "y" else (axis.axvspan, axis.axvline)
    span(band.low, band.high, color=BAND, linewidth=0, zorder=0, label=band.label if labeled else None)
    for end in (band.low, band.high):
        line(end, color=EDGE, linewidth=0.6, zorder=0.1)
    axis.set(xlim=limits[0], ylim=limits[1])


def show_band(axis: Axes, band: Band | None, *, along: Literal["x", "y"] = "y", labeled: bool = True) -> None:
    """Draw the band, after the axis is made long enough that the best control, its upper end, is in sight."""
    if band is not None:
        _reach(axis, band.high, along=along)
        draw_band(axis, band, along=along, labeled=labeled)


def draw_strip(axis: Axes, band: Band | None, place: float, *, along: Literal["x", "y"] = "x") -> None:
    """Shade the band at one place of the other axis alone, behind everything else; nothing where there is none.

    Its ends are lines, so that a single control shows too. The axis is made long enough for its upper end alone.
    """
    if band is None:
        return
    _reach(axis, band.high, along=along)
    limits = axis.get_xlim(), axis.get_ylim()
    edges = [place - 0.4, place + 0.4]
    span, line = (axis.fill_betweenx, axis.vlines) if along == "x" else (axis.fill_between, axis.hlines)
    span(edges, band.low, band.high, color=BAND, linewidth=0, zorder=0)
    line([band.low, band.high], edges[0], edges[1], color=EDGE, linewidth=0.6, zorder=0.1)
    axis.set(xlim=limits[0], ylim=limits[1])


def _reach(axis: Axes, value: float, *, along: Literal["x", "y"]) -> None:
    """Make an axis long enough to hold a value, with a margin; linear or logarithmic."""
    limits = axis.get_xlim() if along == "x" else axis.get_ylim()
    if min(limits) <= value <= max(limits):
        return
    scale = (axis.xaxis if along == "x" else axis.yaxis).get_transform()
    low, high, new = (float(scale.transform(end)) for end in (*limits, value))
    low, high = min(low, new), max(high, new)
    pad = MARGIN * (high - low)
    ends = (low - pad, high) if new == low else (low, high + pad)
    inverse = scale.inverted()
    shown = float(inverse.transform(ends[0])), float(inverse.transform(ends[1]))
    _ = axis.set_xlim(shown) if along == "x" else axis.set_ylim(shown)
