"""Scores stay inside the stored tolerances when they are made again under other circumstances."""

import pandas as pd
import pytest

from scprint2.cards import PART
from scprint2.metrics.networks import SHUFFLED_METRICS
from scprint2.seeds import drawn_anew, fixed_seed
from scprint2.tasks import drift
from scprint2.tasks.drift import EXAMPLE_NAMES, Condition, Values, measure_drift, run_condition, tolerance
from scprint2.tasks.examples import EXAMPLES
from scprint2.tasks.predictions import write_prediction
from tests.helpers import CONFIG

CALLS = ("accuracy", "accuracy_strict", "macro_f1", "macro_f1_strict")
STORED = pd.read_csv(CONFIG / "drift.tsv", sep="\t").set_index(["task", "metric"])


@pytest.fixture(scope="module")
def usual() -> Values:
    return {source: drift.score_once(source) for source in EXAMPLE_NAMES}


def test_every_metric_of_the_examples_has_a_tolerance(usual):
    found = {(EXAMPLE_NAMES[source][0], metric) for source in usual for metric in usual[source]}
    assert found == set(STORED.index)


@pytest.mark.parametrize(
    "condition",
    [
        Condition("rows", orders=(102,)),
        Condition("draws", draws=(103,)),
        Condition("threads", threads=2, imports=("torch", "scipy.linalg", "sklearn")),
    ],
    ids=lambda condition: condition.kind,
)
def test_a_new_run_stays_inside_the_stored_tolerances(usual, condition):
    (values,) = run_condition(condition, EXAMPLE_NAMES)
    for source, (task, _) in EXAMPLE_NAMES.items():
        assert values[source].keys() == usual[source].keys()
        for metric, value in usual[source].items():
            move = abs(values[source][metric] - value)
            assert move <= STORED.loc[(task, metric), "tolerance"], (source, metric, move)


def test_a_file_scores_as_the_example_that_it_holds(usual, tmp_path):
    for source, (task, kind) in EXAMPLE_NAMES.items():
        path = tmp_path / f"{source}.h5ad"
        write_prediction(path, EXAMPLES[task](kind), about={"task": task, "dataset": kind})
        assert drift.score_once(str(path)) == usual[source]


def test_another_draw_is_another_seed_of_every_draw_and_the_usual_one_comes_back():
    with drawn_anew(2):
        assert (fixed_seed(0), fixed_seed(42)) == (2000, 2042)
        with drawn_anew(0):
            assert fixed_seed(42) == 42
    assert fixed_seed(42) == 42


def test_the_tolerance_is_twice_the_largest_move_rounded_up():
    assert [tolerance(move) for move in (0.0, 1e-16, 0.0123, 0.5, 0.0275)] == [1e-8, 1e-8, 0.03, 1.0, 0.06]
    assert (STORED["tolerance"] >= 2 * STORED[["rows", "draws", "threads", "imports"]].max(axis=1) - 1e-9).all()


def test_a_metric_that_moves_shows_in_the_measurement_by_kind_of_condition(monkeypatch):
    def pretend(condition, sources):
        moved = {"rows": 0.5, "draws": 0.125, "threads": 0.25}.get(condition.kind, 0.0)
        return [{source: {"scib_total": 40 + moved} for source in sources} for _ in condition.orders]

    monkeypatch.setattr(drift, "run_condition", pretend)
    (line,) = measure_drift(["embed ordinary"]).to_dict("records")
    assert line == {
        "task": "embed",
        "metric": "scib_total",
        "rows": 0.5,
        "draws": 0.125,
        "threads": 0.25,
        "imports": 0.0,
        "tolerance": 1.0,
    }


def test_one_metric_has_one_tolerance_whatever_it_was_computed_on(monkeypatch):
    def pretend(condition, sources):
        moved = 0.5 if condition.kind == "rows" else 0.0
        return [
            {source: {"scib_total": 40.0, "scib_total:all": 40 + moved} for source in sources} for _ in condition.orders
        ]

    monkeypatch.setattr(drift, "run_condition", pretend)
    found = measure_drift(["embed ordinary"]).set_index("metric")
    assert found["rows"].to_dict() == {"scib_total": 0.0, "scib_total:all": 0.5}
    assert found["tolerance"].to_dict() == {"scib_total": 1.0, "scib_total:all": 1.0}


def test_only_what_is_drawn_moved_and_another_order_of_rows_is_another_draw_of_the_metrics_but_not_of_the_answers():
    moved, by_draws = (
        {metric.split(PART)[0].removesuffix("_mean_attention") for _, metric in STORED.index[STORED[kind] > 1e-9]}
        for kind in ("rows", "draws")
    )
    clustering = {"nmi_kmeans", "ari_kmeans", "nmi_leiden", "ari_leiden", "isolated_labels_f1"}
    totals = {"scib_bio", "scib_total", "scib_classic_total", "open_problems_total"}
    shuffles = {f"{name}_shuffled" for name in SHUFFLED_METRICS} | {"shuffled_kept"}
    kinds = {f"{metric}_cluster_{statistic}" for metric in CALLS for statistic in ("mean", "max")}
    assert moved == clustering | totals | shuffles
    assert by_draws == moved | kinds
    assert (STORED[["threads", "imports"]] == 0).all(axis=None)


def test_a_metric_that_is_not_always_there_has_no_bounds():
    (found,) = drift._compare({"a": {"x": 1.0}}, {"a": {}})
    assert found == ("a", "x", float("inf"))


def test_a_process_that_fails_is_an_error_with_its_last_line(tmp_path):
    with pytest.raises(RuntimeError, match=r"missing\.h5ad"):
        run_condition(Condition("rows"), [str(tmp_path / "missing.h5ad")])
