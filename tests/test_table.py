import json

import numpy as np
import pandas as pd
import pytest

from scprint2.table import COST_KEYS, LONG_KEYS, SCORE_KEYS, build_table1, read_costs, read_table1, write_table1
from scprint2.table_cells import run_id
from scprint2.table_page import lay_out, render_html

COLUMNS = {
    "denoise": {"task": "denoise", "datasets": ["deep", "smart"], "metric": "spearman_gain"},
    "ct_lung": {"task": "annotate", "datasets": ["lung"], "metric": "accuracy"},
}
BASE_ROW = {"variant": "base", "section": "Base", "name": "base", "reference": "base", "experiment": {"dim": 64}}
CONTROL = {"variant": "negative_control", "section": "Base", "name": "negative control", "reference": "base"}
DENOISING = {"variant": "denoising", "section": "Task", "name": "denoising", "reference": "base"}
MSE = {"variant": "mse", "section": "Loss", "name": "MSE <b>", "reference": "denoising"}
MAGIC = {"variant": "magic", "section": "baseline", "name": "MAGIC", "reference": "base", "tasks": ["denoise"]}
ROWS = [BASE_ROW, CONTROL, DENOISING, MSE, MAGIC]


def lines(variant: str, seed: int, *, deep: float, smart: float, lung: float | None) -> list[tuple]:
    """Score rows of one seed."""
    rows = [("denoise", "deep", "spearman_gain", deep), ("denoise", "smart", "spearman_gain", smart)]
    rows += [("denoise", "deep", "spearman_gain_all", deep / 2)]
    rows += [] if lung is None else [("annotate", "lung", "accuracy", lung)]
    return [
        ("mini", variant, seed, task, data, metric, value, "ok", "", 0.1, "1", "numpy 2")
        for task, data, metric, value in rows
    ]


def make_scores() -> pd.DataFrame:
    rows = [
        line
        for seed, lung in enumerate((48, 50, 52))
        for line in lines("base", seed, deep=2 + seed, smart=4, lung=lung)
    ]
    rows += lines("negative_control", 0, deep=-20, smart=-30, lung=0)
    rows += lines("denoising", 0, deep=20, smart=22, lung=51)
    rows += lines("mse", 0, deep=21, smart=21, lung=20)
    rows += lines("magic", 0, deep=3, smart=4, lung=None)
    return pd.DataFrame(rows, columns=SCORE_KEYS)


def make_costs() -> pd.DataFrame:
    rows = [("base", seed, 1 + seed / 10, "cpu A") for seed in range(3)]
    rows += [("negative_control", 0, np.nan, "cpu A"), ("denoising", 0, 5.0, "cpu B"), ("mse", 0, 1.0, "cpu A")]
    return pd.DataFrame(rows, columns=COST_KEYS)


def build(scores: pd.DataFrame | None = None, rows: list[dict] = ROWS):
    return build_table1(make_scores() if scores is None else scores, rows, columns=COLUMNS, costs=make_costs())


@pytest.fixture
def wide() -> pd.DataFrame:
    return build().wide.set_index("variant")


def test_the_columns_are_those_that_are_promised():
    names = ["gpu_min_per_epoch", "denoise", "ct_lung"]
    cells = [f"{name}{suffix}" for name in names for suffix in ("", "_sd", "_verdict", "_verdict_base")]
    first = ["variant", "section", "name", "reference", "seeds", "scale", "device"]
    assert build().wide.columns.tolist() == [*first, *cells, "run_id"]
    assert build().long.columns.tolist() == LONG_KEYS


def test_a_cell_is_the_mean_over_seeds_of_the_mean_over_datasets(wide):
    assert wide.loc["base", "denoise"] == pytest.approx(3.5)  # seeds 3, 3.5, 4
    assert wide.loc["base", "denoise_sd"] == pytest.approx(0.5)
    assert wide.loc["base", "ct_lung_sd"] == pytest.approx(2)
    assert wide.loc["base", "gpu_min_per_epoch"] == pytest.approx(1.1)
    assert wide.loc["base", "seeds"] == 3
    assert np.isnan(wide.loc["denoising", "denoise_sd"])


def test_verdicts_hold_a_row_against_its_reference_and_against_base(wide):
    assert wide["denoise_verdict"].to_dict() == {
        "base": "reference",
        "negative_control": "below",
        "denoising": "above",
        "mse": "inside",  # of the row `denoising`
        "magic": "inside",
    }
    assert wide.loc["mse", "denoise_verdict_base"] == "above"
    assert wide.loc["mse", "ct_lung_verdict"] == wide.loc["mse", "ct_lung_verdict_base"] == "below"
    assert wide.loc["denoising", "gpu_min_per_epoch_verdict"] == "above"


def test_a_cell_that_does_not_apply_says_so(wide):
    assert wide.loc["magic", "ct_lung_verdict"] == "not applicable"
    assert wide.loc["magic", "gpu_min_per_epoch_verdict"] == "not applicable"
    assert wide.loc["negative_control", "gpu_min_per_epoch_verdict"] == "not applicable"
    cells = build().cells
    assert cells["magic", "ct_lung"].reason == "MAGIC does not do the task annotate"
    assert cells["negative_control", "gpu_min_per_epoch"].reason == "negative control is not trained"


def test_a_failed_score_fails_its_cell_with_the_reason_and_leaves_the_others():
    scores = make_scores()
    bad = (scores["variant"] == "base") & (scores["dataset"] == "lung") & (scores["seed"] == 1)
    scores.loc[bad, ["value", "status", "reason"]] = [np.nan, "failed", "not done after 9 s"]
    table = build(scores)
    cell = table.cells["base", "ct_lung"]
    assert (cell.status, cell.reason) == ("failed", "not done after 9 s (lung, seed 1)")
    wide = table.wide.set_index("variant")
    assert wide.loc["base", "ct_lung_verdict"] == "failed"
    assert wide.loc["mse", "ct_lung_verdict_base"] == "unknown"
    assert "not done after 9 s" in table.cells["mse", "ct_lung"].verdict_base.reason
    assert wide.loc["base", "denoise"] == pytest.approx(3.5)
    long = table.long.query("variant == 'base' and metric == 'accuracy' and seed == 1").iloc[0]
    assert (long["status"], long["reason"]) == ("failed", "not done after 9 s")


def test_a_score_that_is_missing_fails_its_cell_and_has_a_line_in_the_long_table():
    scores = make_scores()
    table = build(scores[~((scores["variant"] == "mse") & (scores["dataset"] == "smart"))])
    assert table.cells["mse", "denoise"].reason == "no score of spearman_gain was found (smart, seed 0)"
    line = table.long.query("variant == 'mse' and dataset == 'smart'").iloc[0]
    assert (line["status"], line["column"]) == ("failed", "denoise")


def test_a_seed_that_is_missing_fails_the_row():
    table = build(rows=[{**BASE_ROW, "seeds": 4}])
    assert "no score of accuracy was found (lung, seed 3)" in table.cells["base", "ct_lung"].reason
    assert table.cells["base", "gpu_min_per_epoch"].reason == "no cost of the seeds [3] was found"


def test_a_reference_that_is_not_in_the_table_leaves_the_verdict_unknown():
    table = build(rows=[BASE_ROW, MSE])
    wide = table.wide.set_index("variant")
    assert wide.loc["mse", "denoise_verdict"] == "unknown"
    assert wide.loc["mse", "denoise_verdict_base"] == "above"
    assert "'denoising'" in table.cells["mse", "denoise"].verdict.reason


def test_the_seeds_of_a_baseline_say_nothing_about_the_spread_of_trainings():
    scores = make_scores()
    many = [line for seed in range(5) for line in lines("magic", seed, deep=3 + 40 * seed, smart=4, lung=None)]
    scores = pd.concat([scores[scores["variant"] != "magic"], pd.DataFrame(many, columns=SCORE_KEYS)])
    mine, other = build(scores).cells["mse", "denoise"], build().cells["mse", "denoise"]
    assert mine.verdict_base == other.verdict_base


def test_the_long_table_has_every_score_and_every_cost_of_every_seed():
    long = build().long
    scores = make_scores()
    assert len(long.query("task == 'denoise'")) == len(scores.query("task == 'denoise'"))
    assert long.query("metric == 'spearman_gain_all'")["column"].unique().tolist() == [""]
    costs = long.query("task == 'cost'")
    assert costs.query("variant == 'base'")["value"].tolist() == pytest.approx([1, 1.1, 1.2])
    assert costs.query("variant == 'magic'")["status"].tolist() == ["not applicable"]
    assert (long["status"].eq("ok") == long["value"].notna()).all()
    assert (long["status"].eq("ok") == long["reason"].eq("")).all()


def test_a_score_of_a_dataset_with_two_roles_names_both_columns():
    columns = COLUMNS | {"ct_pancreas": COLUMNS["ct_lung"]}
    long = build_table1(make_scores(), ROWS, columns=columns, costs=make_costs()).long
    assert long.query("metric == 'accuracy' and status == 'ok'")["column"].unique().tolist() == ["ct_lung ct_pancreas"]


def test_the_run_id_is_that_of_the_values_not_of_their_order(wide):
    assert run_id({"a": 1, "b": {"c": 2}}) == run_id({"b": {"c": 2}, "a": 1}) != run_id({"a": 1, "b": {"c": 3}})
    assert wide.loc["base", "run_id"] == run_id({"dim": 64})
    assert wide.loc["magic", "run_id"] == "not applicable"


def test_a_written_table_has_no_empty_cell_and_reads_back_the_same(tmp_path):
    table = build()
    paths = {
        "csv": tmp_path / "t.csv",
        "long_csv": tmp_path / "l.csv",
        "comparisons_csv": tmp_path / "c.csv",
        "html": tmp_path / "t.html",
        "pdf": tmp_path / "t.pdf",
    }
    write_table1(table, **paths)
    assert (pd.read_csv(paths["csv"], keep_default_na=False) != "").all(axis=None)
    pd.testing.assert_frame_equal(read_table1(paths["csv"]), table.wide)
    assert len(pd.read_csv(paths["long_csv"])) == len(table.long)
    assert paths["pdf"].read_bytes().startswith(b"%PDF")
    first = {name: path.read_bytes() for name, path in paths.items()}
    write_table1(build(), **paths)
    assert {name: path.read_bytes() for name, path in paths.items()} == first


def test_the_page_needs_nothing_else_and_shows_reasons_and_worth(tmp_path):
    scores = make_scores()
    scores.loc[scores["variant"].eq("mse") & scores["dataset"].eq("lung"), ["value", "status", "reason"]] = [
        np.nan,
        "failed",
        "one label",
    ]
    table = build(scores)
    page = render_html(
        lay_out(
            table.rows, table.cells, columns=table.columns, comparisons=table.comparisons, scale="mini", device="cpu A"
        )
    )
    for absent in ("http", "src=", "<script", "MSE <b>"):
        assert absent not in page
    assert "MSE &lt;b&gt;: one label (lung, seed 0)" in page
    assert "They say nothing about real cells" in page
    assert "seeds: 3 for base, 1 for the other rows" in page


def test_cells_are_shown_by_what_they_mean():
    table = build()
    display = lay_out(
        table.rows, table.cells, columns=table.columns, comparisons=table.comparisons, scale="mini", device="cpu A"
    )
    states = {row.name: [cell.state for cell in row.cells] for section in display.sections for row in section.rows}
    assert states["base (3 seeds)"] == ["plain", "plain", "plain"]
    assert states["denoising"] == ["worse", "better", "inside"]  # it takes longer per epoch
    assert states["MAGIC"] == ["absent", "inside", "absent"]
    assert [section.name for section in display.sections] == ["Base", "Task", "Loss", "Baselines and controls"]
    assert display.groups == (("cost", 1), ("denoising", 1), ("cell type prediction", 1))


def test_what_rounds_to_zero_has_no_sign():
    scores = make_scores()
    scores.loc[(scores["variant"] == "negative_control") & (scores["task"] == "annotate"), "value"] = -1e-4
    table = build(scores)
    display = lay_out(
        table.rows, table.cells, columns=table.columns, comparisons=table.comparisons, scale="mini", device="cpu A"
    )
    shown = {row.name: row.cells[-1].text for section in display.sections for row in section.rows}
    assert shown["negative control"] == "0.0"


def test_costs_are_read_from_model_folders(tmp_path):
    for seed, seconds in ((0, 90.0), (1, None)):
        folder = tmp_path / "base" / f"seed_{seed}"
        folder.mkdir(parents=True)
        (folder / "cost.json").write_text(json.dumps({"seconds_per_epoch": seconds, "device": "cpu A", "steps": 3}))
    costs = read_costs(sorted((tmp_path / "base").iterdir()))
    assert costs["minutes_per_epoch"].tolist()[0] == 1.5
    assert np.isnan(costs["minutes_per_epoch"].tolist()[1])
    assert costs["seed"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores.drop(columns="reason"), r"no columns \['reason'\]"),
        (lambda scores: pd.concat([scores, scores.iloc[:2]]), "2 scores occur twice"),
        (lambda scores: scores.assign(scale=["mini"] + ["paper"] * (len(scores) - 1)), r"scales \['mini', 'paper'\]"),
    ],
)
def test_scores_that_do_not_fit_together_are_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        build(change(make_scores()))


def test_rows_that_do_not_fit_together_are_an_error():
    with pytest.raises(ValueError, match="rows occur twice"):
        build(rows=[BASE_ROW, BASE_ROW])
    with pytest.raises(ValueError, match=r"has no \['reference'\]"):
        build(rows=[{key: value for key, value in BASE_ROW.items() if key != "reference"}])
