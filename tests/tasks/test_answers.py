import numpy as np
import pytest
from scipy.special import expit

from scprint2.metrics.annotation import count_leaves
from scprint2.tasks.answers import (
    call_best,
    list_candidates,
    lowest_common_ancestor,
    share_parents,
    sigmoid,
)

# A cell is a lymphocyte or a neuron, a lymphocyte a T cell (CD4 or CD8) or a B cell.
ANCESTORS = {
    "CD4": {"T", "lymphocyte", "cell"},
    "CD8": {"T", "lymphocyte", "cell"},
    "T": {"lymphocyte", "cell"},
    "B": {"lymphocyte", "cell"},
    "lymphocyte": {"cell"},
    "neuron": {"cell"},
}
LEAVES = ["CD4", "CD8", "B", "neuron"]
BELOW = {"CD4": 1, "CD8": 1, "T": 2, "B": 1, "lymphocyte": 3, "neuron": 1, "cell": 4}


def share(logits, *, number=4, rival_odds=0.5):
    values = np.array([logits], dtype=np.float32)
    return share_parents(values, LEAVES, number=number, rival_odds=rival_odds, ancestors=ANCESTORS)[0]


def test_leaves_are_counted_below_every_term():
    assert count_leaves(LEAVES, ancestors=ANCESTORS) == BELOW


@pytest.mark.parametrize(
    ("terms", "parent"),
    [
        (["CD4"], "CD4"),
        (["CD4", "CD8"], "T"),
        (["CD4", "B"], "lymphocyte"),
        (["CD4", "CD8", "neuron"], "cell"),
        (["CD4", "elsewhere"], "unknown"),
    ],
)
def test_the_lowest_common_ancestor_holds_the_fewest_types(terms, parent):
    assert lowest_common_ancestor(terms, ancestors=ANCESTORS, leaves_below=BELOW) == parent


def test_of_ancestors_with_the_same_types_the_most_specific_is_taken():
    chain = {"a": {"low", "high"}, "b": {"low", "high"}, "low": {"high"}}
    assert lowest_common_ancestor(["a", "b"], ancestors=chain, leaves_below={"low": 2, "high": 2}) == "low"


@pytest.mark.parametrize(
    ("logits", "parent"),
    [
        ([3.0, 0.0, -1.0, -2.0], "CD4"),  # no rival
        ([3.0, 2.5, -1.0, -2.0], "T"),  # exp(-0.5) = 0.61 of the best's odds
        ([3.0, 2.0, -1.0, -2.0], "CD4"),  # exp(-1) = 0.37
        ([3.0, 2.9, 2.8, 2.7], "cell"),
    ],
)
def test_types_of_similar_odds_share_a_parent(logits, parent):
    assert share(logits) == parent


def test_only_listed_types_are_rivals_and_with_share_zero_all_listed_are():
    assert share([3.0, 2.9, 2.8, 2.7], number=2) == "T"
    assert share([3.0, -5.0, -9.0, -9.0], number=2, rival_odds=0.0) == "T"


def test_candidates_come_best_first_and_ties_in_the_order_of_the_types():
    logits = np.array([[0.0, 2.0, 1.0, 2.0]], dtype=np.float32)
    assert list_candidates(logits, 3).tolist() == [[1, 3, 2]]
    assert list_candidates(logits, 9).shape == (1, 4)


def test_the_confidence_is_the_sigmoid_and_decides_what_is_unknown():
    logits = np.array([[-1.0, -2.0, -3.0, -4.0], [2.0, 3.0, 0.0, 0.0]], dtype=np.float32)
    calls = call_best(logits, LEAVES, least_confidence=0.5)
    assert calls.terms.tolist() == ["unknown", "CD8"]
    np.testing.assert_allclose(calls.confidence, expit([-1, 3]), rtol=1e-6)
    assert call_best(logits, LEAVES).terms.tolist() == ["CD4", "CD8"]


def test_the_sigmoid_is_that_of_scipy_and_never_overflows():
    values = np.array([-1000.0, -20, 0, 20, 1000])
    with np.errstate(over="raise"):
        np.testing.assert_allclose(sigmoid(values), expit(values), rtol=1e-6)
