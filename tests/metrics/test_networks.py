import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from scprint2.metrics.networks import (
    Ranking,
    area_above_prevalence,
    match_edges,
    odds_ratio,
    rank_edges,
    score_network,
    true_positives_at,
)
from tests.metrics.bengrn_scores import assert_same_as_bengrn


def make_network(*, genes: int = 60, sources: int = 12, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores without ties, higher for the true edges the greater the strength; the true edges."""
    rng = np.random.default_rng(0)
    true = rng.random((genes, genes)) < 0.06
    true[sources:] = False
    np.fill_diagonal(true, False)
    return rng.random((genes, genes)) + strength * true, np.argwhere(true)


def universe(scores: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Truth and score of every edge that counts, the slow way."""
    true = np.zeros(scores.shape, dtype=bool)
    true[edges[:, 0], edges[:, 1]] = True
    counts = np.zeros(scores.shape, dtype=bool)
    counts[np.unique(edges[:, 0])] = True
    np.fill_diagonal(counts, False)
    return true[counts], scores[counts]


def value(scores: np.ndarray, edges: np.ndarray, metric: str) -> float:
    score = score_network(scores, edges)[metric]
    assert score.value is not None, score.reason
    return score.value


def test_the_odds_ratio_of_a_small_network_is_the_one_by_hand():
    # Gene 0 is the only source: edges to 1, 2, 3, 4; true are 1 and 2; the two best are 1 and 3.
    scores = np.zeros((5, 5))
    scores[0] = [99, 4, 1, 3, 2]
    edges = np.array([[0, 1], [0, 2]])
    assert value(scores, edges, "odds_ratio") == 1  # one of each kind
    assert value(scores, edges, "prevalence") == 0.5
    assert value(scores, edges, "average_precision") == pytest.approx((1 + 2 / 4) / 2)
    assert value(scores, edges, "average_precision_gain") == pytest.approx(0.75 / 0.5)
    assert value(scores, edges, "precision_gain") == 1  # one of the two best is true, as is every second edge
    # Precision 1 up to recall 0.5; then from 1/3 (after the fourth-best edge) to the last edge, which is never predicted.
    assert value(scores, edges, "auprc") == pytest.approx(0.5 * (1 - 0.5))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("strength", [0, 0.3, 2])
def test_average_precision_is_that_of_scikit_learn(strength, ties):
    scores, edges = make_network(strength=strength)
    scores = np.round(scores, 1) if ties else scores
    assert value(scores, edges, "average_precision") == pytest.approx(
        average_precision_score(*universe(scores, edges)), abs=1e-6
    )


@pytest.mark.parametrize("strength", [0, 0.3, 2])
def test_the_area_above_the_prevalence_line_is_that_under_scikit_learns_curve(strength):
    scores, edges = make_network(strength=strength)
    true, flat = universe(scores, edges)
    precision, recall, _ = precision_recall_curve(true, flat)
    precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # without the made-up point at recall 0
    area = np.trapezoid(precision, recall) + recall[0] * precision[0] - true.mean() * recall[-1]
    assert value(scores, edges, "auprc") == pytest.approx(area, abs=1e-9)


def test_the_edges_that_a_sparse_network_leaves_out_add_no_area():
    scores, edges = make_network(strength=0.3)
    sparse = np.where(scores > 0.9, scores, 0)
    true, flat = universe(sparse, edges)
    precision, recall, threshold = precision_recall_curve(true, flat)
    kept = np.flatnonzero(threshold > 0)[::-1]
    precision, recall = precision[kept], recall[kept]
    area = np.trapezoid(precision - true.mean(), recall) + recall[0] * (precision[0] - true.mean())
    assert recall[-1] < 1
    assert value(sparse, edges, "auprc") == pytest.approx(area, abs=1e-9)


def test_a_perfect_network_has_finite_scores_and_they_are_the_highest():
    scores, edges = make_network(strength=2)
    ranking = rank_edges(scores, edges)
    positives = len(edges)
    assert true_positives_at(ranking, predicted=positives) == positives
    assert odds_ratio(ranking) == pytest.approx((positives + 0.5) * (ranking.edges - positives + 0.5) / 0.25)
    assert area_above_prevalence(ranking) == pytest.approx(1 - ranking.prevalence)
    assert value(scores, edges, "average_precision") == pytest.approx(1)
    assert value(scores, edges, "average_precision_gain") == pytest.approx(1 / ranking.prevalence)


def test_the_odds_ratio_rises_steadily_with_the_expected_hits_and_is_the_plain_one_between_the_ends():
    def at(tied: int) -> float:  # 10 of 200 edges are true; all 10 stand in one tie with `tied` others, at the top
        tie = Ranking(np.array([10]), above=np.array([0]), reached=np.array([10 + tied]), edges=200)
        assert true_positives_at(tie, predicted=10) == pytest.approx(100 / (10 + tied))
        return odds_ratio(tie)

    values = [at(tied) for tied in range(190, -1, -1)]
    assert (np.diff(values) > 0).all()
    assert values[0] == pytest.approx(1)
    assert at(10) == pytest.approx(5 * 185 / 5**2)
    assert at(0) == pytest.approx(10.5 * 190.5 / 0.5**2)
    misses = Ranking(np.array([10]), above=np.array([10]), reached=np.array([20]), edges=200)
    assert odds_ratio(misses) == pytest.approx(0.5 * 180.5 / 10.5**2)


def test_random_scores_are_at_chance():
    rng = np.random.default_rng(1)
    _, edges = make_network(genes=300, sources=150, strength=0)
    results = [score_network(rng.random((300, 300)), edges) for _ in range(5)]
    assert np.mean([result["odds_ratio"].value for result in results]) == pytest.approx(1, abs=0.1)
    assert np.mean([result["auprc"].value for result in results]) == pytest.approx(0, abs=0.005)
    assert np.mean([result["precision_gain"].value for result in results]) == pytest.approx(1, abs=0.1)


def test_constant_scores_are_at_chance_whatever_the_order_of_the_genes():
    _, edges = make_network(strength=0)
    constant = np.full((60, 60), 0.7)
    assert value(constant, edges, "odds_ratio") == pytest.approx(1)
    assert value(constant, edges, "precision_gain") == pytest.approx(1)
    assert value(constant, edges, "auprc") == 0
    assert value(constant, edges, "average_precision") == pytest.approx(value(constant, edges, "prevalence"))
    assert value(constant, edges, "average_precision_gain") == pytest.approx(1)


def test_ties_count_by_their_expected_value():
    scores, edges = make_network(strength=0.5)
    coarse = np.round(scores, 1)
    expected = true_positives_at(rank_edges(coarse, edges), predicted=len(edges))
    rng = np.random.default_rng(2)
    broken = [
        true_positives_at(rank_edges(coarse + rng.uniform(0, 1e-6, coarse.shape), edges), predicted=len(edges))
        for _ in range(400)
    ]
    assert np.std(broken) > 0.3
    assert expected == pytest.approx(np.mean(broken), abs=4 * np.std(broken) / 20)


def test_self_edges_never_count():
    scores, edges = make_network(strength=0.3)
    loud = scores.copy()
    np.fill_diagonal(loud, 100)
    with_self = np.concatenate([edges, [[0, 0], [5, 5]]])
    assert score_network(loud, with_self) == score_network(scores, edges)


def test_genes_that_are_no_source_in_the_truth_do_not_matter():
    scores, edges = make_network(strength=0.3)
    changed = scores.copy()
    changed[12:] = 50
    assert score_network(changed, edges) == score_network(scores, edges)


def test_the_order_of_the_genes_does_not_matter():
    scores, edges = make_network(strength=0.3)
    coarse = np.round(scores, 1)
    order = np.random.default_rng(3).permutation(60)
    place = np.argsort(order)
    assert score_network(coarse[np.ix_(order, order)], place[edges]) == score_network(coarse, edges)


def test_a_network_that_cannot_be_scored_says_why_for_every_metric():
    scores, edges = make_network(strength=0.3)
    scores[edges[0, 0], 40] = np.nan
    assert {score.reason for score in score_network(scores, edges).values()} == {
        "1 scores of the network are not finite numbers"
    }
    nothing = score_network(scores, np.empty((0, 2), dtype=int))
    assert all("no true edge" in score.reason for score in nothing.values())
    everything = np.array([[0, target] for target in range(1, 4)])
    assert "are true" in score_network(np.random.default_rng(0).random((4, 4)), everything)["auprc"].reason


def test_named_edges_are_matched_once_without_self_edges_and_absent_genes():
    edges = match_edges(["A", "B", "C"], sources=["C", "A", "A", "B", "X"], targets=["A", "B", "B", "B", "A"])
    assert edges.tolist() == [[0, 1], [2, 0]]
    with pytest.raises(ValueError, match="1 gene names occur twice"):
        match_edges(["A", "A"], sources=[], targets=[])


@pytest.mark.filterwarnings("ignore")
def test_the_scores_are_those_of_bengrn():
    """On scores without ties, off the diagonal, with every gene a source: benGRN keeps self edges and has no universe."""
    base = pytest.importorskip("bengrn.base")
    rng = np.random.default_rng(0)
    true = rng.random((80, 80)) < 0.05
    true[:, 0] = True
    true[0, 1] = True
    np.fill_diagonal(true, False)
    scores = rng.random((80, 80)) + 0.3 * true
    np.fill_diagonal(scores, 0)
    theirs = base.compute_pr(scores, true.astype(float), do_auc=True, doplot=False)
    ours = {name: score.value for name, score in score_network(scores, np.argwhere(true)).items()}
    assert_same_as_bengrn(ours, theirs, true_edges=true.sum())
