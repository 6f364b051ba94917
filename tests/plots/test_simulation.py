import numpy as np
import pandas as pd

from scprint2.plots.simulation import REAL, SIMULATED, plot_simulation_vs_real


def test_each_dataset_is_one_line_in_every_panel_and_one_entry_of_the_legend():
    percentile = np.arange(1, 100)
    mean = np.geomspace(0.01, 10, 12)
    cells, genes = [], []
    for dataset, kind in (("blood", REAL), ("sim", SIMULATED)):
        cells.append(
            pd.DataFrame({"percentile": percentile, "depth": 1000.0 + percentile, "dataset": dataset, "kind": kind})
        )
        columns = {f"{name}_{percent}": mean for name in ("variance", "zero_share") for percent in (10, 50, 90)}
        genes.append(pd.DataFrame({"mean": mean, "share": 1 / 12, "dataset": dataset, "kind": kind, **columns}))
    figure = plot_simulation_vs_real(pd.concat(cells), pd.concat(genes))
    lines = [len(axis.get_lines()) for axis in figure.axes]
    assert lines == [2, 2, 4, 4]  # two references each in the lower panels
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["blood (real)", "sim (simulated)"]
    depth = figure.axes[0].get_lines()[0].get_xdata()
    assert depth[49] == 1.0
