import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

from scprint2.table import build_table1, write_table1
from scprint2.table_comparisons import KEYS, describe_tests
from scprint2.table_page import lay_out
from tests.test_table import BASE_ROW, COLUMNS, DENOISING, MAGIC, MSE, ROWS, SCORE_KEYS, build, lines, make_costs

LUNG = {"base": (48, 50, 52), "denoising": (58, 59, 63), "mse": (20, 22, 24)}
DEEP = {"base": (1, 2, 3), "denoising": (4, 9, 5), "mse": (6, 9.5, 8)}


def build_with_seeds(*, rows=(BASE_ROW, DENOISING, MSE, MAGIC), seeds: int = 3):
    """A table whose trained rows have several seeds each, and a baseline that has too."""
    scores = [
        line
        for variant in LUNG
        for seed in range(seeds)
        for line in lines(variant, seed, deep=DEEP[variant][seed], smart=0, lung=LUNG[variant][seed])
    ]
    scores += [line for seed in range(3) for line in lines("magic", seed, deep=3 + seed**2, smart=4, lung=None)]
    costs = pd.DataFrame(
        [(variant, seed, 1.0 + seed * len(variant), "cpu A") for variant in LUNG for seed in range(seeds)],
        columns=make_costs().columns,
    )
    return build_table1(pd.DataFrame(scores, columns=SCORE_KEYS), rows, columns=COLUMNS, costs=costs)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return build_with_seeds().comparisons.set_index(["variant", "column", "reference"])


def test_there_is_a_line_for_every_cell_and_each_row_that_it_is_held_against():
    found = build().comparisons
    assert found.columns.tolist() == KEYS
    pairs = set(zip(found["variant"], found["reference"], strict=True))
    others = {(row, "base") for row in ("negative_control", "denoising", "mse", "magic")}
    assert pairs == others | {("mse", "denoising")}
    assert len(found) == 3 * len(pairs)
    assert not found.duplicated(["variant", "column", "reference"]).any()


def test_difference_spread_effect_and_interval_are_those_by_hand(frame):
    line = frame.loc["mse", "ct_lung", "denoising"]
    assert line["difference"] == pytest.approx(22 - 60)
    spread = np.sqrt((8 + 14 + 8) / 6)  # pooled: sums of squares of the three rows over their degrees of freedom
    assert line["spread"] == pytest.approx(spread)
    assert line["effect"] == pytest.approx(-38 / spread)
    half = 2.446912 * spread * np.sqrt(2 / 3)  # t of 6 degrees of freedom
    assert (line["low"], line["high"]) == pytest.approx((60 - half, 60 + half))
    assert (line["verdict"], line["seeds"], line["reference_seeds"]) == ("below", 3, 3)


def test_paired_tests_are_adjusted_over_the_whole_table(frame):
    tested = frame[frame["p_value"].notna()]
    assert len(tested) == 6, "two rows in three columns, each against its own reference"
    line = frame.loc["mse", "denoise", "denoising"]
    assert line["p_value"] == pytest.approx(
        ttest_rel(np.divide(DEEP["mse"], 2), np.divide(DEEP["denoising"], 2)).pvalue
    )
    assert tested["q_value"].tolist() == pytest.approx(multipletests(tested["p_value"], method="fdr_bh")[1].tolist())
    assert (tested["discovery"] == (tested["q_value"] <= 0.05)).all()
    assert tested["pairs"].eq(3).all()
    assert tested["discovery"].any()
    assert not tested["discovery"].all()


def test_what_is_not_tested_says_why_and_is_no_negative_finding(frame):
    reasons = {
        ("mse", "denoise", "base"): "only a row's own reference is tested",
        ("magic", "denoise", "base"): "a baseline's seeds are no trainings",
    }
    for key, reason in reasons.items():
        assert reason in frame.loc[key, "reason"]
        assert frame.loc[key, ["p_value", "q_value", "discovery"]].isna().all()
    few = build_with_seeds(seeds=2).comparisons.set_index(["variant", "column", "reference"])
    assert few.loc[("denoising", "denoise", "base"), "reason"] == "no paired test: 2 of 3 seeds that both rows have"
    assert few["q_value"].isna().all()


def test_a_cell_without_value_or_reference_keeps_its_line_with_the_reason():
    found = build(rows=[BASE_ROW, MSE, MAGIC]).comparisons.set_index(["variant", "column", "reference"])
    lone = found.loc["mse", "denoise", "denoising"]
    assert (lone["verdict"], lone["reference_seeds"]) == ("unknown", 0)
    assert "is not in this table" in lone["reason"]
    absent = found.loc["magic", "ct_lung", "base"]
    assert absent["verdict"] == "not applicable"
    assert absent["reason"] == "MAGIC does not do the task annotate"
    assert np.isnan([lone["difference"], absent["difference"], absent["effect"]]).all()


def test_equal_differences_in_every_seed_are_no_test():
    rows = [BASE_ROW, DENOISING]
    scores = [
        line
        for seed in range(3)
        for variant, shift in (("base", 0), ("denoising", 2))
        for line in lines(variant, seed, deep=seed + shift, smart=0, lung=seed)
    ]
    table = build_table1(pd.DataFrame(scores, columns=SCORE_KEYS), rows, columns=COLUMNS, costs=make_costs())
    found = table.comparisons.set_index("column")
    assert found.loc["denoise", "reason"] == "no paired test: the differences do not vary"
    assert pd.isna(found.loc["denoise", "discovery"])


def test_the_page_shows_paired_tests_and_says_how_many_rows_had_the_seeds():
    table = build_with_seeds()
    display = lay_out(
        table.rows, table.cells, columns=table.columns, comparisons=table.comparisons, scale="mini", device="cpu A"
    )
    rows = {row.title.split(",")[0]: row for section in display.sections for row in section.rows}
    assert "paired test over 3 seeds: q = 0." in rows["denoising"].cells[2].title
    assert "paired test over 3 seeds of denoising: q = 0." in rows["mse"].cells[2].title
    assert "paired test" not in rows["base"].cells[2].title + rows["magic"].cells[1].title
    assert any("2 had the 3 seeds" in note for note in display.notes)
    assert any("n = 1" in note for note in display.notes)
    assert "Of 3 rows that are held against another, 0 had" in describe_tests(build(rows=ROWS).comparisons)


def test_a_written_frame_reads_back_the_same(tmp_path):
    table = build_with_seeds()
    names = ("csv", "long_csv", "comparisons_csv", "html", "pdf")
    write_table1(table, **{name: tmp_path / name for name in names})
    read = pd.read_csv(tmp_path / "comparisons_csv", keep_default_na=False, na_values={"discovery": [""]})
    assert read["discovery"].notna().sum() == 6
    assert read.columns.tolist() == KEYS
    assert (read["reason"].eq("") == read["p_value"].ne("")).all()
