import inspect

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from scprint2.metrics.annotation import score_annotation

T_CELL, CD4, CD8, B_CELL = "CL:0000084", "CL:0000624", "CL:0000625", "CL:0000236"
ANCESTORS = {CD4: frozenset({T_CELL}), CD8: frozenset({T_CELL})}


def score(truth: list[str], prediction: list[str]) -> dict[str, float | None]:
    scores = score_annotation(np.array(truth), np.array(prediction), ancestors=ANCESTORS)
    return {name: score.value for name, score in scores.items()}


def test_a_descendant_of_the_truth_is_right_but_not_strictly_and_an_ancestor_is_wrong():
    scores = score([T_CELL, CD4, CD4, B_CELL], [CD4, T_CELL, CD4, B_CELL])
    assert scores["accuracy"] == 75
    assert scores["accuracy_strict"] == 50


def test_a_sibling_is_wrong():
    assert score([CD4], [CD8])["accuracy"] == 0


def test_cells_without_a_known_truth_or_prediction_are_left_out_and_show_in_the_coverage():
    scores = score(["unknown", CD4, CD4, CD4, "nan"], [CD4, CD4, "unknown", CD8, CD4])
    assert scores["accuracy"] == 50
    assert scores["coverage"] == pytest.approx(200 / 3)


def test_macro_f1_counts_a_descendant_as_the_truth():
    # After lifting: truth T T B B, prediction T T B T: F1 of T is 0.8, of B 2/3.
    scores = score([T_CELL, T_CELL, B_CELL, B_CELL], [CD4, T_CELL, B_CELL, T_CELL])
    assert scores["macro_f1"] == pytest.approx(100 * (0.8 + 2 / 3) / 2)


@pytest.mark.parametrize("kind", ["perfect", "random", "constant"])
def test_without_an_ontology_the_scores_are_those_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    types = np.array([CD4, CD8, B_CELL, "CL:0000576"])
    truth = rng.choice(types, 300, p=[0.5, 0.3, 0.15, 0.05])
    prediction = {"perfect": truth, "random": rng.choice(types, 300), "constant": np.full(300, CD4)}[kind]
    scores = score_annotation(truth, prediction, ancestors={})
    for suffix in ("", "_strict"):
        assert scores[f"accuracy{suffix}"].value == pytest.approx(100 * accuracy_score(truth, prediction))
        expected = 100 * f1_score(truth, prediction, average="macro", zero_division=0)
        assert scores[f"macro_f1{suffix}"].value == pytest.approx(expected)
    if kind == "perfect":
        assert scores["accuracy"].value == scores["macro_f1"].value == 100
    if kind == "constant":
        assert scores["accuracy"].value == pytest.approx(100 * (truth == CD4).mean())


def test_with_no_cell_left_every_metric_fails_and_says_so():
    scores = score_annotation(np.array([CD4, CD4]), np.array(["unknown", "unknown"]), ancestors=ANCESTORS)
    assert scores["coverage"].value == 0
    for name in ("accuracy", "accuracy_strict", "macro_f1", "macro_f1_strict"):
        assert "no cell is left to score" in scores[name].reason


def test_sides_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="2 true and 1 predicted"):
        inspect.unwrap(score_annotation)(
            np.array([CD4, CD4]), np.array([CD4]), ancestors={}
        )  # without the check of shapes
