"""Scores stay inside the stored tolerances when they are made again under other circumstances."""

import pandas as pd
import pytest

from scprint2.cards import PART
from scprint2.tasks import drift
from scprint2.tasks.drift import Condition, Values, measure_drift, run_condition, tolerance, write_examples
from tests.helpers import CONFIG

STORED = pd.read_csv(CONFIG / "drift.tsv", sep="\t").set_index(["task", "metric"])


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def usual(examples) -> Values:
    return {str(path): drift.score_once(path, order=0) for path in examples}


def test_every_metric_of_the_examples_has_a_tolerance(examples, usual):
    found = {(path.stem.split("_")[0], metric) for path in examples for metric in usual[str(path)]}
    assert found == set(STORED.index)


@pytest.mark.parametrize(
    "condition",
    [Condition("rows", orders=(102,)), Condition("threads", threads=2, imports=("torch", "scipy.linalg", "sklearn"))],
    ids=lambda condition: condition.kind,
)
def test_a_new_run_stays_inside_the_stored_tolerances(examples, usual, condition):
    (values,) = run_condition(condition, examples)
    for path in examples:
        task = path.stem.split("_")[0]
        assert values[str(path)].keys() == usual[str(path)].keys()
        for metric, value in usual[str(path)].items():
            move = abs(values[str(path)][metric] - value)
            assert move <= STORED.loc[(task, metric), "tolerance"], (path.stem, metric, move)


def test_the_tolerance_is_twice_the_largest_move_rounded_up():
    assert [tolerance(move) for move in (0.0, 1e-16, 0.0123, 0.5, 0.0275)] == [1e-8, 1e-8, 0.03, 1.0, 0.06]
    assert (STORED["tolerance"] >= 2 * STORED[["rows", "threads", "imports"]].max(axis=1) - 1e-9).all()


def test_a_metric_that_moves_shows_in_the_measurement_by_kind_of_condition(examples, monkeypatch):
    def pretend(condition, predictions):
        moved = {"rows": 0.5, "threads": 0.25}.get(condition.kind, 0.0)
        return [{str(path): {"scib_total": 40 + moved} for path in predictions} for _ in condition.orders]

    monkeypatch.setattr(drift, "run_condition", pretend)
    (line,) = measure_drift([examples[2]]).to_dict("records")
    assert line == {
        "task": "embed",
        "metric": "scib_total",
        "rows": 0.5,
        "threads": 0.25,
        "imports": 0.0,
        "tolerance": 1.0,
    }


def test_one_metric_has_one_tolerance_whatever_it_was_computed_on(examples, monkeypatch):
    def pretend(condition, predictions):
        moved = 0.5 if condition.kind == "rows" else 0.0
        return [
            {str(path): {"scib_total": 40.0, "scib_total:all": 40 + moved} for path in predictions}
            for _ in condition.orders
        ]

    monkeypatch.setattr(drift, "run_condition", pretend)
    found = measure_drift([examples[2]]).set_index("metric")
    assert found["rows"].to_dict() == {"scib_total": 0.0, "scib_total:all": 0.5}
    assert found["tolerance"].to_dict() == {"scib_total": 1.0, "scib_total:all": 1.0}


def test_only_metrics_that_draw_random_numbers_moved_and_another_order_of_rows_draws_others():
    moved = {metric.split(PART)[0].removesuffix("_mean_attention") for _, metric in STORED.index[STORED["rows"] > 1e-9]}
    clustering = {"nmi_kmeans", "ari_kmeans", "nmi_leiden", "ari_leiden", "isolated_labels_f1"}
    totals = {"scib_bio", "scib_total", "scib_classic_total", "open_problems_total"}
    assert moved == clustering | totals | {"odds_ratio_shuffled", "auprc_shuffled", "shuffled_kept"}
    assert (STORED[["threads", "imports"]] == 0).all(axis=None)


def test_a_metric_that_is_not_always_there_has_no_bounds():
    (found,) = drift._compare({"a": {"x": 1.0}}, {"a": {}})
    assert found == ("a", "x", float("inf"))


def test_a_process_that_fails_is_an_error_with_its_last_line(tmp_path):
    with pytest.raises(RuntimeError, match=r"missing\.h5ad"):
        run_condition(Condition("rows"), [tmp_path / "missing.h5ad"])
