import numpy as np
import pandas as pd
import pytest

from scprint2.files import write_json
from scprint2.plots.controls import Band
from scprint2.plots.score_curves import DRAWN, plot_score_curves, read_score_curves

COLUMNS = {
    "denoise": {"task": "denoise", "datasets": ["deep", "smart"], "metric": "spearman_gain"},
    "ct_lung": {"task": "annotate", "datasets": ["lung"], "metric": "accuracy"},
}
TRAININGS = {("base", 0): 6, ("base", 1): 6, ("base-epochs_2", 0): 2, ("denoising-epochs_3", 0): 3}


@pytest.fixture
def drawn(tmp_path) -> pd.DataFrame:
    lines = []
    for (name, seed), epochs in TRAININGS.items():
        folder = tmp_path / name / f"seed_{seed}"
        write_json(folder / "record.json", {"epochs": epochs, "steps": 100 * epochs})
        write_json(folder / "cost.json", {"seconds": 4.0 * epochs, "cells": 800 * epochs})
        for task, dataset, metric, value in (
            ("denoise", "deep", "spearman_gain", epochs),
            ("denoise", "smart", "spearman_gain", epochs + 2 * seed),
            ("annotate", "lung", "accuracy", 10 * epochs),
        ):
            status = "failed" if (name, task) == ("denoising-epochs_3", "annotate") else "ok"
            place = {"variant": name, "seed": seed, "task": task, "dataset": dataset, "metric": metric}
            lines.append({**place, "value": np.nan if status == "failed" else value, "status": status})
    models = [tmp_path / name / f"seed_{seed}" for name, seed in TRAININGS]
    return read_score_curves(models, pd.DataFrame(lines), COLUMNS)


def test_a_column_is_the_mean_of_its_datasets_at_each_length(drawn):
    base = drawn[(drawn["column"] == "denoise") & (drawn["variant"] == "base")]
    assert base[["seed", "epochs", "steps", "cells", "seconds", "score"]].to_numpy().tolist() == [
        [0, 2, 200, 1600, 8, 2],
        [0, 6, 600, 4800, 24, 6],
        [1, 6, 600, 4800, 24, 7],
    ]


def test_a_failed_score_has_no_point_and_leaves_the_others(drawn):
    assert drawn.loc[drawn["variant"] == "denoising", "column"].tolist() == ["denoise"]


def test_lines_join_the_lengths_of_a_seed_against_steps_and_seconds(drawn):
    figure = plot_score_curves(drawn, COLUMNS, scale="mini")
    steps, seconds = figure.axes[:2]
    assert [list(line.get_xdata()) for line in steps.lines] == [[200, 600], [600], [300]]
    assert [list(line.get_xdata()) for line in seconds.lines] == [[8, 24], [24], [12]]
    assert steps.lines[0].get_color() == "#000000"


def test_the_controls_of_a_column_lie_behind_both_of_its_panels(drawn):
    figure = plot_score_curves(drawn, COLUMNS, scale="mini", bands={"denoise": Band(1.0, 3.0, ("random",))})
    assert [len(axis.patches) for axis in figure.axes] == [1, 1, 0, 0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["base", "denoising", "controls (random)"]


def test_without_any_score_nothing_is_drawn():
    empty = pd.DataFrame(columns=DRAWN)
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_score_curves(empty, COLUMNS, scale="mini")
