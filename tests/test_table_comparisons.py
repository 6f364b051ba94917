import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

from scprint2.table import build_table1, write_table1
from scprint2.table_comparisons import KEYS, describe_tests
from scprint2.table_page import lay_out, render_html
from tests.test_table import BASE_ROW, COLUMNS, DENOISING, MAGIC, MSE, ROWS, SCORE_KEYS, build, lines, make_costs

CARD = {"range": [0, 100], "better": "higher", "meaning": "Share of cells.", "cheats": "Luck."}
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


def test_a_cell_outside_its_interval_is_told_only_when_false_discoveries_are_controlled(frame):
    trained = frame[(frame["section"] != "baseline") & frame["verdict_p"].notna()]
    expected = multipletests(trained["verdict_p"], method="fdr_bh")[1]
    assert trained["verdict_q"].tolist() == pytest.approx(expected.tolist())
    outside = trained["verdict"].isin(["above", "below"])
    assert ((trained["verdict_p"] <= 0.05) == outside).all(), "the interval and the p value say the same"
    assert (trained["distinguishable"] == (outside & (trained["verdict_q"] <= 0.05))).all()
    assert trained["distinguishable"].any()
    assert not trained["distinguishable"].all()


def test_one_difference_that_chance_explains_among_many_is_gray():
    """The same cell, alone in its table and among thirty rows of which none differs."""
    rng = np.random.default_rng(3)
    columns = {"ct_lung": COLUMNS["ct_lung"]}
    names = ["odd", *(f"same{number}" for number in range(30))]
    rows = [BASE_ROW, *({**DENOISING, "variant": name, "name": name} for name in names)]
    values = {"base": (49.0, 50.0, 51.0, 50.5, 49.5), "odd": (52.9,)} | {
        name: (50 + 0.4 * rng.normal(),) for name in names[1:]
    }
    scores = pd.DataFrame(
        [
            ("mini", name, seed, "annotate", "lung", "accuracy", value, "ok", "", 0.1, "1", "numpy 2")
            for name, own in values.items()
            for seed, value in enumerate(own)
        ],
        columns=SCORE_KEYS,
    )
    costs = make_costs().iloc[:0]

    def state(chosen: list[dict]) -> tuple[str, bool]:
        kept = scores[scores["variant"].isin([row["variant"] for row in chosen])]
        lines = build_table1(kept, chosen, columns=columns, costs=costs).comparisons
        line = lines[(lines["variant"] == "odd") & (lines["column"] == "ct_lung")].iloc[0]
        return line["verdict"], bool(line["distinguishable"])

    assert state(rows[:2]) == ("above", True)
    assert state(rows) == ("above", False)


def with_donors(donors: int, *, datasets: tuple[str, ...] = ("lung",)) -> pd.DataFrame:
    """Scores of base and of a row that is better in every donor by 1 to 2."""
    lines = []
    for variant, gain in (("base", 0), ("denoising", 1)):
        for dataset in datasets:
            metrics = {"accuracy": 50 + gain} | {
                f"accuracy:donor=d{number}": 40 + 7 * number + gain * (1 + number / (donors - 1))
                for number in range(donors)
            }
            lines += [
                ("mini", variant, 0, "annotate", dataset, metric, value, "ok", "", 0.1, "1", "numpy 2")
                for metric, value in metrics.items()
            ]
    return pd.DataFrame(lines, columns=SCORE_KEYS)


def compare_donors(scores: pd.DataFrame, datasets: tuple[str, ...] = ("lung",)) -> pd.Series:
    columns = {"ct_lung": {**COLUMNS["ct_lung"], "datasets": list(datasets)}}
    table = build_table1(scores, [BASE_ROW, DENOISING], columns=columns, costs=make_costs().iloc[:0])
    return table.comparisons.query("column == 'ct_lung'").iloc[0]


def test_a_difference_is_drawn_anew_over_the_donors_that_both_rows_have():
    line = compare_donors(with_donors(8))
    assert (line["unit"], line["units"]) == ("donor", 8)
    assert 1 < line["unit_low"] < 1.5 < line["unit_high"] < 2, "differences of 1 to 2, however far donors are apart"


def test_datasets_are_the_units_where_there_are_three_and_too_few_donors_give_no_interval():
    datasets = ("lung", "gut", "skin")
    line = compare_donors(with_donors(4, datasets=datasets), datasets)
    assert (line["unit"], line["units"], line["unit_low"], line["unit_high"]) == ("dataset", 3, 1, 1)
    few = compare_donors(with_donors(2))
    assert few["unit"] == ""
    assert np.isnan(few["unit_low"])


def test_the_page_says_q_donors_and_the_card_of_a_column():
    columns = {"ct_lung": {**COLUMNS["ct_lung"], "card": CARD}}
    table = build_table1(with_donors(8), [BASE_ROW, DENOISING], columns=columns, costs=make_costs().iloc[:0])
    display = lay_out(
        table.rows,
        table.cells,
        columns=table.columns,
        comparisons=table.comparisons,
        scale="mini",
        device="",
        cards=table.cards,
    )
    titles = [cell.title for section in display.sections for row in section.rows for cell in row.cells]
    assert any("difference to base over 8 donors: 1." in title for title in titles)
    assert display.column_titles == (
        "",
        "accuracy: Share of cells. 0 to 100, higher is better. What raises it without merit: Luck.",
    )
    assert 'title="accuracy: Share of cells.' in render_html(display)
