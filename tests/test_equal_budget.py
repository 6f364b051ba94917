"""Scores at an equal budget, with values by hand: between measured points, never beyond them."""

import numpy as np
import pandas as pd
import pytest

from scprint2.equal_budget import (
    NONE_IN_COMMON,
    compare_at_equal_budget,
    read_equal_budget,
    write_equal_budget,
)
from scprint2.plots.controls import Band
from scprint2.plots.score_curves import DRAWN

# column, variant, seed, epochs, steps, cells, seconds, score
POINTS = [
    ("denoise", "base", 0, 2, 200, 1600, 10.0, 20.0),
    ("denoise", "base", 0, 4, 400, 3200, 20.0, 30.0),
    ("denoise", "base", 0, 6, 600, 4800, 30.0, 34.0),
    ("denoise", "base", 1, 6, 600, 4800, 31.0, 36.0),  # trained to the end only
    ("denoise", "slow", 0, 2, 200, 1600, 18.0, 40.0),
    ("denoise", "slow", 0, 6, 600, 4800, 54.0, 48.0),
    ("scib_lung", "base", 0, 2, 200, 1600, 10.0, 0.5),
]
BANDS = {"denoise": Band(-5.0, 25.0, ("random", "untrained"))}


def drawn(points: list[tuple] | None = None) -> pd.DataFrame:
    return pd.DataFrame(points or POINTS, columns=pd.Index(DRAWN))


def compare(points: list[tuple] | None = None) -> pd.DataFrame:
    found = compare_at_equal_budget(drawn(points), ["denoise", "scib_lung"], bands=BANDS)
    return found.set_index(["column", "budget", "variant"])


def test_at_equal_cells_all_whole_trainings_count_with_their_spread():
    base = compare().loc[("denoise", "cells", "base")]
    assert (base["amount"], base["seeds"], base["score"]) == (4800, 2, 35)
    assert base["sd"] == pytest.approx(np.sqrt(2))  # of 34 and 36
    assert base["points"] == "seed 0: epoch 6; seed 1: epoch 6"


def test_at_equal_seconds_a_row_is_read_between_its_points_at_the_end_of_the_row_that_ends_first():
    """Base's seed 1 is a point alone at 31 seconds: it neither sets the budget nor is carried back to it."""
    found = compare()
    base, slow = (found.loc[("denoise", "seconds", name)] for name in ("base", "slow"))
    assert (base["amount"], slow["amount"]) == (30, 30)
    assert (base["seeds"], base["score"], base["points"]) == (1, 34, "seed 0: epoch 6")
    assert slow["score"] == pytest.approx(40 + 8 * 12 / 36)
    assert slow["points"] == "seed 0: epochs 2 to 6"
    assert np.isnan(slow["sd"])


def test_of_several_followed_seeds_the_one_that_ends_first_sets_the_budget():
    points = [
        *POINTS,
        ("denoise", "base", 1, 4, 400, 3200, 22.0, 27.0),
        ("denoise", "slow", 1, 2, 200, 1600, 9.0, 50.0),
    ]
    points.append(("denoise", "slow", 1, 6, 600, 4800, 27.0, 59.0))
    found = compare(points)
    base, slow = (found.loc[("denoise", "seconds", name)] for name in ("base", "slow"))
    assert (base["amount"], base["seeds"], slow["seeds"]) == (27, 2, 2)
    assert base["score"] == pytest.approx(((30 + 4 * 7 / 10) + (27 + 9 * 5 / 9)) / 2)
    assert base["points"] == "seed 0: epochs 4 to 6; seed 1: epochs 4 to 6"
    assert slow["score"] == pytest.approx(((40 + 8 * 9 / 36) + 59) / 2)


def test_the_controls_stand_beside_and_a_column_without_them_has_none():
    found = compare()
    line = found.loc[("denoise", "cells", "slow")]
    assert (line["controls_low"], line["controls_high"], line["controls"]) == (-5, 25, "random untrained")
    other = found.loc[("scib_lung", "cells", "base")]
    assert np.isnan(other["controls_low"])
    assert (other["amount"], other["score"]) == (1600, 0.5)


def test_rows_whose_points_do_not_overlap_are_not_compared():
    found = compare([("denoise", "base", 0, 2, 200, 1600, 10.0, 1.0), ("denoise", "slow", 0, 2, 200, 1600, 18.0, 2.0)])
    assert found.loc[("denoise", "cells", "slow"), "score"] == 2
    seconds = found.loc[("denoise", "seconds")]
    assert seconds[["amount", "score"]].isna().all(axis=None)
    assert set(seconds["points"]) == {NONE_IN_COMMON}


def test_a_shorter_training_that_took_longer_is_read_in_the_order_of_seconds():
    points = [("denoise", "base", 0, 2, 200, 1600, 12.0, 1.0), ("denoise", "base", 0, 4, 400, 3200, 11.0, 3.0)]
    points.append(("denoise", "slow", 0, 2, 200, 1600, 11.5, 5.0))
    base = compare(points).loc[("denoise", "seconds", "base")]
    assert (base["amount"], base["score"], base["points"]) == (11.5, 2, "seed 0: epochs 4 to 2")


def test_the_written_table_reads_back(tmp_path):
    found = compare_at_equal_budget(drawn(), ["denoise"], bands=BANDS)
    write_equal_budget(found, tmp_path / "equal_budget.csv")
    pd.testing.assert_frame_equal(read_equal_budget(tmp_path / "equal_budget.csv"), found)
