"""Labels of logarithmic axes."""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

FEW, SOME = 1.5, 3.0  # decades up to which an axis has room for three labels in each, and for two


def label_decades(axis: Axes) -> None:
    """Make the horizontal axis logarithmic, with as many plain numbers as it has room for; call it once its limits are set."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    decades = math.log10(high / low)
    subs = (1, 2, 5) if decades <= FEW else (1, 3) if decades <= SOME else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
