"""How well the strongest edges of an inferred gene network are the known ones.

A network is a score for each ordered pair of genes, regulator (row) to target (column). The edges that are scored are those
from a gene that is a source in the truth to any other gene of the network; a gene's edge to itself never counts (D35).
Nothing here depends on the order of the genes: edges of equal score count by their expected value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from scprint2.metrics.attempt import attempt
from scprint2.metrics.score import Score, failed, mean


@dataclass(frozen=True)
class Ranking:
    """The positives of a network, in blocks of equal score, from the best to the worst.

    Attributes
    ----------
    positives
        True edges in each block.
    above
        Edges, true or not, that score strictly higher than the block.
    reached
        Edges that score at least as high as the block.
    edges
        Size of the universe.
    """

    positives: Int[np.ndarray, " block"]
    above: Int[np.ndarray, " block"]
    reached: Int[np.ndarray, " block"]
    edges: int

    @property
    def prevalence(self) -> float:
        """Share of true edges in the universe: the precision of chance."""
        return int(self.positives.sum()) / self.edges


def score_network(
    scores: Num[np.ndarray, "gene gene"],
    edges: Int[np.ndarray, "edge 2"],
    *,
    shuffled: Sequence[Int[np.ndarray, "edge 2"]] = (),
) -> dict[str, Score]:
    """Score one network against known edges.

    `odds_ratio` and `auprc` are Table 1's; `average_precision` is scikit-learn's, and `average_precision_gain` is its ratio to
    the prevalence. `precision_gain` is the precision at K over the prevalence, and `prevalence` is what chance reaches. See the
    functions of these names for the definitions.

    Parameters
    ----------
    scores
        Score of the edge from the row's to the column's gene.
    edges
        Row and column of each true edge; see `match_edges`.
    shuffled
        Networks of the same degrees, see `shuffles.shuffle_edges`: what the same scores reach against these is given as
        `<metric>_shuffled`, the mean over them, and `shuffled_kept` is the share of the true edges that they hold.
    """
    names = [*METRICS, *(f"{name}_shuffled" for name in SHUFFLED_METRICS if shuffled)]
    names += ["shuffled_kept"] if shuffled else []
    try:
        universe = Universe.sort(scores, edges)
        ranking = universe.rank(edges)
    except ValueError as error:
        return dict.fromkeys(names, failed(str(error)))
    found = {name: attempt(metric, ranking) for name, metric in METRICS.items()}
    if shuffled:
        kept = share_kept(edges, shuffled)
        rankings = [] if kept == 1 else [universe.rank(edges) for edges in shuffled]
        found |= {f"{name}_shuffled": _score_shuffled(METRICS[name], rankings) for name in SHUFFLED_METRICS}
        found["shuffled_kept"] = Score(kept)
    return found


def _score_shuffled(metric: Callable[[Ranking], float], rankings: Sequence[Ranking]) -> Score:
    """Mean of a metric over the rankings of shuffled truths, of which there are none where no other network has the degrees."""
    if not rankings:
        return failed("no other network has the degrees of the true one")
    return attempt(lambda: mean([metric(ranking) for ranking in rankings]))


def share_kept(edges: Int[np.ndarray, "edge 2"], shuffled: Sequence[Int[np.ndarray, "edge 2"]]) -> float:
    """Mean share of the true edges that stand in a shuffled network too."""
    size = 1 + max(int(part.max()) for part in (edges, *shuffled))
    codes = np.unique(edges[:, 0].astype(np.int64) * size + edges[:, 1])
    return float(np.mean([np.isin(codes, part[:, 0].astype(np.int64) * size + part[:, 1]).mean() for part in shuffled]))


def match_edges(genes: Sequence[str], *, sources: Sequence[str], targets: Sequence[str]) -> Int[np.ndarray, "edge 2"]:
    """Rows and columns of the named edges in a network over `genes`, without repeats, self edges and absent genes."""
    position = {gene: index for index, gene in enumerate(genes)}
    if len(position) != len(genes):
        raise ValueError(
            f"{len(genes) - len(position)} gene names occur twice: every gene of a network needs its own name."
        )
    pairs = {
        (position[source], position[target])
        for source, target in zip(sources, targets, strict=True)
        if source in position and target in position and source != target
    }
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Universe:
    """The scores of all edges that count: one sort, after which any set of edges among them can be ranked.

    Attributes
    ----------
    scores
        Of all edges of the network, those that do not count among them.
    ascending
        Those that count, sorted.
    """

    scores: Num[np.ndarray, "gene gene"]
    ascending: Num[np.ndarray, " counted"]

    @classmethod
    def sort(cls, scores: Num[np.ndarray, "gene gene"], edges: Int[np.ndarray, "edge 2"]) -> "Universe":
        """Sort the edges from the sources of `edges` to every other gene.

        Raises
        ------
        ValueError
            If a score is not finite or no true edge is left.
        """
        sources = np.unique(edges[edges[:, 0] != edges[:, 1], 0])
        if sources.size == 0:
            raise ValueError(
                "no true edge lies between two genes of the network: check that both use the same gene ids"
            )
        counted = scores[sources]
        lowest = counted.min()
        if not (np.isfinite(lowest) and np.isfinite(counted.max())):
            raise ValueError(f"{int((~np.isfinite(counted)).sum())} scores of the network are not finite numbers")
        counted[np.arange(sources.size), sources] = lowest  # self edges go to the bottom, where they are cut off again
        return cls(scores, np.sort(counted, axis=None)[sources.size :])

    def rank(self, edges: Int[np.ndarray, "edge 2"]) -> Ranking:
        """Search for the scores of some of the edges.

        Raises
        ------
        ValueError
            If every edge that counts is among them.
        """
        edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
        count = self.ascending.size
        if len(edges) == count:
            raise ValueError(f"all {count} edges that are scored are true: there is nothing to tell them from")
        values, positives = np.unique(self.scores[edges[:, 0], edges[:, 1]], return_counts=True)
        values, positives = values[::-1], positives[::-1]
        return Ranking(
            positives=positives,
            above=count - np.searchsorted(self.ascending, values, side="right"),
            reached=count - np.searchsorted(self.ascending, values, side="left"),
            edges=count,
        )


def rank_edges(scores: Num[np.ndarray, "gene gene"], edges: Int[np.ndarray, "edge 2"]) -> Ranking:
    """Rank the true edges among all that count."""
    return Universe.sort(scores, edges).rank(edges)


def true_positives_at(ranking: Ranking, *, predicted: int) -> float:
    """Expected number of true edges among the `predicted` best; of a block of equal scores each edge is as likely as another."""
    share = (predicted - ranking.above) / (ranking.reached - ranking.above)
    return float(ranking.positives @ np.clip(share, 0, 1))


def odds_ratio(ranking: Ranking) -> float:
    """Diagnostic odds ratio TP x TN / (FP x FN) at K predicted edges, K being the number of true ones: 1 for chance.

    Where one of the four counts is zero, 0.5 is added to each (Haldane and Anscombe), so that no hit and no miss have finite
    values. Expected counts need not be whole: one below 0.5 lifts all four by what it lacks to 0.5, which gives the same at 0
    and no jump after it, so that the value rises steadily with the hits. Elsewhere nothing is added: at the prevalence of
    curated networks chance has about three hits, and 0.5 more of them would put chance at 1.2.

    Source: Methods, "Gene network metrics". Deviation D35.
    """
    positives = int(ranking.positives.sum())
    hits = true_positives_at(ranking, predicted=positives)
    misses = positives - hits  # as many true edges are missed as false ones are predicted, since K edges are predicted
    rejected = ranking.edges - positives - misses
    lift = max(0.0, 0.5 - min(hits, misses, rejected))
    return (hits + lift) * (rejected + lift) / (misses + lift) ** 2


def precision_gain(ranking: Ranking) -> float:
    """Precision at K predicted edges over the prevalence (early precision ratio); 1 for chance."""
    positives = int(ranking.positives.sum())
    return true_positives_at(ranking, predicted=positives) / positives / ranking.prevalence


def average_precision(ranking: Ranking) -> float:
    """Mean over the true edges of the precision at their score; scikit-learn's `average_precision_score`."""
    hits = np.cumsum(ranking.positives)
    return float((ranking.positives * (hits / ranking.reached)).sum() / hits[-1])


def average_precision_gain(ranking: Ranking) -> float:
    """Average precision over the prevalence; 1 for chance. Unlike the area, it compares truths of different prevalence."""
    return average_precision(ranking) / ranking.prevalence


def prevalence(ranking: Ranking) -> float:
    """Share of true edges among those that count."""
    return ranking.prevalence


def area_above_prevalence(ranking: Ranking) -> float:
    """Area between the precision-recall curve and the prevalence line, by trapezoids: 0 for chance.

    The curve starts at the precision of its first threshold and is not interpolated at its end: the edges that share the
    lowest score of all (those that a sparse network leaves out) are never predicted, so the curve ends before them.

    Source: Methods, "Gene network metrics".
    """
    hits = np.cumsum(ranking.positives)
    before = hits - ranking.positives
    precision = hits / ranking.reached
    previous = np.divide(before, ranking.above, out=precision.copy(), where=ranking.above > 0)
    on_curve = ranking.reached < ranking.edges
    height: Float[np.ndarray, " block"] = (previous + precision) / 2 - ranking.prevalence
    return float((ranking.positives * height)[on_curve].sum() / hits[-1])


METRICS: Mapping[str, Callable[[Ranking], float]] = {
    "odds_ratio": odds_ratio,
    "auprc": area_above_prevalence,
    "average_precision": average_precision,
    "average_precision_gain": average_precision_gain,
    "precision_gain": precision_gain,
    "prevalence": prevalence,
}
SHUFFLED_METRICS = tuple(name for name in METRICS if name != "prevalence")
