import inspect

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from scprint2.metrics.annotation import score_annotation, score_candidates, score_shared_parent

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


def test_a_right_type_anywhere_in_the_list_counts():
    truth = np.array([T_CELL, CD4, B_CELL, "unknown"])
    listed = np.array([[B_CELL, CD8, CD4], [B_CELL, CD8, T_CELL], [CD4, CD8, B_CELL], [CD4, CD8, B_CELL]])
    scores = score_candidates(truth, listed, types=9, ancestors=ANCESTORS)
    assert scores["accuracy_top_3"].value == pytest.approx(200 / 3)  # CD8 is a T cell; neither CD8 nor T cell is CD4
    assert scores["accuracy_top_3_strict"].value == pytest.approx(100 / 3)
    assert "3 types are listed per cell, 5 are needed" in scores["accuracy_top_5"].reason
    all_known = score_candidates(truth, listed, types=3, ancestors=ANCESTORS)
    assert all_known["accuracy_top_5"].value == all_known["accuracy_top_3"].value


@pytest.mark.parametrize("kind", ["perfect", "random", "constant", "permuted"])
def test_top_accuracies_are_those_of_scikit_learn(kind):
    rng = np.random.default_rng(0)
    types = np.array([f"CL:{number}" for number in range(12)])
    codes = rng.integers(0, 12, 400)
    perfect = np.eye(12)[codes] + 0.1 * rng.random((400, 12))
    logits = {
        "perfect": perfect,
        "random": rng.random((400, 12)),
        "constant": np.tile(np.arange(12.0), (400, 1)),
        "permuted": perfect[rng.permutation(400)],
    }[kind]
    listed = types[np.argsort(-logits, axis=1)[:, :5]]
    scores = score_candidates(types[codes], listed, types=12, ancestors={})
    for number in (3, 5):
        expected = 100 * top_k_accuracy_score(codes, logits, k=number, labels=np.arange(12))
        assert scores[f"accuracy_top_{number}"].value == pytest.approx(expected)
        assert scores[f"accuracy_top_{number}_strict"].value == pytest.approx(expected)
    if kind == "perfect":
        assert scores["accuracy_top_3"].value == 100
    if kind in ("random", "permuted"):
        assert scores["accuracy_top_3"].value == pytest.approx(25, abs=6)


LYMPHOCYTE, CELL, NEURON = "CL:0000542", "CL:0000000", "CL:0000540"
LINES = {
    CD4: frozenset({T_CELL, LYMPHOCYTE, CELL}),
    CD8: frozenset({T_CELL, LYMPHOCYTE, CELL}),
    T_CELL: frozenset({LYMPHOCYTE, CELL}),
    B_CELL: frozenset({LYMPHOCYTE, CELL}),
    LYMPHOCYTE: frozenset({CELL}),
    NEURON: frozenset({CELL}),
}


def score_parents(truth, answers):
    leaves = [CD4, CD8, B_CELL, NEURON]
    scores = score_shared_parent(np.array(truth), np.array(answers), leaves=leaves, ancestors=LINES)
    return [score.value for score in scores.values()]


@pytest.mark.parametrize(
    ("truth", "answer", "right", "information"),
    [
        (CD4, CD4, 1, 1),
        (CD4, CD8, 0, 1),
        (CD4, T_CELL, 1, 0.5),  # 2 of 4 types: 1 - log 2 / log 4
        (T_CELL, CD4, 1, 1),  # below the truth
        (NEURON, T_CELL, 0, 0.5),
        (NEURON, CELL, 1, 0),  # the root is always right and says nothing
        (NEURON, "unknown", 0, 0),
        (CD4, LYMPHOCYTE, 1, 1 - np.log(3) / np.log(4)),
    ],
)
def test_a_shared_parent_is_right_along_the_line_and_worth_what_it_excludes(truth, answer, right, information):
    expected = [100 * right, 100 * information, 100 * right * information]
    assert score_parents([truth, "unknown"], [answer, CD4]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["perfect", "root", "permuted"])
def test_golden_shared_parents(kind):
    rng = np.random.default_rng(0)
    truth = rng.choice([CD4, CD8, B_CELL, NEURON], 400)
    answers = {"perfect": truth, "root": np.full(400, CELL), "permuted": rng.permutation(truth)}[kind]
    right, information, informed = score_parents(truth, answers)
    if kind == "permuted":  # leaf answers: informed accuracy is plain accuracy
        assert right == pytest.approx(100 * accuracy_score(truth, answers))
        assert (information, informed) == (100, right)
    else:
        assert (right, information, informed) == {"perfect": (100, 100, 100), "root": (100, 0, 0)}[kind]
