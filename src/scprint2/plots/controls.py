"""The band of the controls: where methods end that know nothing of the cells, drawn behind what claims to be better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes

BAND, EDGE = "#ead9c4", "#a8845a"
KINDS = ("random", "shuffled", "untrained")


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
