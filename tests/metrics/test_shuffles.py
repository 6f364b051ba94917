import igraph
import numpy as np
import pytest

from scprint2.metrics.networks import score_network, share_kept
from scprint2.metrics.shuffles import SHUFFLES, shuffle_edges, shuffle_truth

GENES = 60


def hub_network() -> np.ndarray:
    """Edges out of twelve genes, some of which have many targets, to genes some of which are targeted often."""
    rng = np.random.default_rng(0)
    liked = rng.random(GENES) ** 3
    true = rng.random((GENES, GENES)) < np.outer(np.linspace(0.1, 0.9, 12), liked).repeat(5, axis=0)[:GENES]
    true[12:] = False
    np.fill_diagonal(true, False)
    return np.argwhere(true)


EDGES = hub_network()


def switch_slowly(edges: np.ndarray, seed: int) -> np.ndarray:
    """Exchange the targets of two edges at a time, far longer than needed."""
    rng = np.random.default_rng(seed)
    pairs = list(map(tuple, edges.tolist()))
    there = set(pairs)
    for first, second in rng.integers(0, len(pairs), (50 * len(pairs), 2)):
        (a, b), (c, d) = pairs[first], pairs[second]
        new = {(a, d), (c, b)}
        if a != d and c != b and len(new) == 2 and not new & there:
            there -= {(a, b), (c, d)}
            there |= new
            pairs[first], pairs[second] = (a, d), (c, b)
    return np.array(pairs)


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffle_keeps_every_degree_and_no_more_edges_than_chance(seed):
    shuffled = shuffle_edges(EDGES, genes=GENES, seed=seed)
    for side in (0, 1):
        np.testing.assert_array_equal(
            np.bincount(shuffled[:, side], minlength=GENES), np.bincount(EDGES[:, side], minlength=GENES)
        )
    assert len(np.unique(shuffled, axis=0)) == len(EDGES)
    assert (shuffled[:, 0] != shuffled[:, 1]).all()
    assert share_kept(EDGES, [shuffled]) == pytest.approx(share_kept(EDGES, [switch_slowly(EDGES, seed)]), abs=0.12)


def test_shuffles_are_always_the_same_whatever_was_drawn_before():
    first = shuffle_truth(EDGES, genes=GENES)
    igraph.Graph.Erdos_Renyi(20, 0.3)
    again = shuffle_truth(EDGES, genes=GENES)
    assert len(first) == SHUFFLES
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_ranking_hubs_first_is_worth_as_much_against_the_shuffles_and_knowing_edges_is_not():
    shuffled = shuffle_truth(EDGES, genes=GENES)
    degree = np.bincount(EDGES[:, 0], minlength=GENES)[:, None] * np.bincount(EDGES[:, 1], minlength=GENES)
    hubs = score_network(degree.astype(float), EDGES, shuffled=shuffled)
    assert hubs["odds_ratio"].value > 2
    assert hubs["odds_ratio_shuffled"].value == pytest.approx(hubs["odds_ratio"].value, rel=0.35)
    exact = np.random.default_rng(0).random((GENES, GENES))
    exact[EDGES[:, 0], EDGES[:, 1]] += 1
    known = score_network(exact, EDGES, shuffled=shuffled)
    assert known["odds_ratio"].value > 10 * known["odds_ratio_shuffled"].value
    assert known["auprc"].value > known["auprc_shuffled"].value


def test_a_shuffled_score_is_the_mean_over_the_shuffles_of_the_plain_one():
    shuffled = shuffle_truth(EDGES, genes=GENES)
    scores = np.random.default_rng(1).random((GENES, GENES))
    found = score_network(scores, EDGES, shuffled=shuffled)
    for name in ("odds_ratio", "auprc", "average_precision", "average_precision_gain", "precision_gain"):
        alone = [score_network(scores, edges)[name].value for edges in shuffled]
        assert found[f"{name}_shuffled"].value == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("edges", [[[0, 1]], [[0, 1], [0, 2]]])
def test_a_truth_that_cannot_be_shuffled_says_so(edges):
    edges = np.array(edges)
    scores = score_network(np.random.default_rng(0).random((5, 5)), edges, shuffled=shuffle_truth(edges, genes=5))
    assert scores["shuffled_kept"].value == 1
    assert "degrees" in scores["odds_ratio_shuffled"].reason


def test_share_kept_is_the_one_by_hand():
    edges = np.array([[0, 1], [2, 3], [4, 0], [1, 2]])
    one, three = np.array([[0, 1], [9, 3], [4, 1], [1, 0]]), np.array([[2, 3], [4, 0], [0, 1], [9, 2]])
    assert share_kept(edges, [one, three]) == (1 / 4 + 3 / 4) / 2
