"""Figures as files that are the same, byte for byte, whenever they show the same."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from scprint2.files import atomic_path

DOTS_PER_INCH = 200
METADATA = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "png": None,
}  # a PDF says when it was made unless told not to


def write_figure(figure: Figure, drawn: pd.DataFrame, folder: str | Path, name: str) -> None:
    """Write `<name>.pdf`, `<name>.png` and, as `<name>.csv`, the numbers behind them."""
    for ending, metadata in METADATA.items():
        with atomic_path(Path(folder) / f"{name}.{ending}") as path:
            figure.savefig(path, format=ending, dpi=DOTS_PER_INCH, metadata=metadata)
    with atomic_path(Path(folder) / f"{name}.csv") as path:
        drawn.to_csv(path, index=False)
