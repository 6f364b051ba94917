"""How well the strongest edges of an inferred gene network are the known ones.

A network is a score for each ordered pair of genes, regulator (row) to target (column). The edges that are scored are those
from a gene that is a source in the truth to any other gene of the network; a gene's edge to itself never counts (D35).
Nothing here depends on the order of the genes: edges of equal score count by their expected value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from scprint2.metrics.score import Score, attempt, failed


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


def score_network(scores: Num[np.ndarray, "gene gene"], edges: Int[np.ndarray, "edge 2"]) -> dict[str, Score]:
    """Score one network against known edges.

    `odds_ratio` and `auprc` are Table 1's; `average_precision` is scikit-learn's. `precision_gain` is the precision at K over
    the prevalence, and `prevalence` is what chance reaches. See the functions of these names for the definitions.

    Parameters
    ----------
    scores
        Score of the edge from the row's to the column's gene.
    edges
        Row and column of each true edge; see `match_edges`.
    """
    try:
        ranking = rank_edges(scores, edges)
    except ValueError as error:
        return dict.fromkeys(
            ("odds_ratio", "auprc", "average_precision", "precision_gain", "prevalence"), failed(str(error))
        )
    return {
        "odds_ratio": attempt(odds_ratio, ranking),
        "auprc": attempt(area_above_prevalence, ranking),
        "average_precision": attempt(average_precision, ranking),
        "precision_gain": attempt(precision_gain, ranking),
        "prevalence": attempt(lambda: ranking.prevalence),
    }


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


def rank_edges(scores: Num[np.ndarray, "gene gene"], edges: Int[np.ndarray, "edge 2"]) -> Ranking:
    """Rank the edges of the universe: one sort of all scores, then a search for those of the positives.

    Raises
    ------
    ValueError
        If a score is not finite, no true edge is left, or every edge of the universe is true.
    """
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    if edges.size == 0:
        raise ValueError("no true edge lies between two genes of the network: check that both use the same gene ids")
    sources = np.unique(edges[:, 0])
    universe = scores[sources]
    lowest = universe.min()
    if not (np.isfinite(lowest) and np.isfinite(universe.max())):
        raise ValueError(f"{int((~np.isfinite(universe)).sum())} scores of the network are not finite numbers")
    count = universe.size - sources.size
    if len(edges) == count:
        raise ValueError(f"all {count} edges that are scored are true: there is nothing to tell them from")
    universe[np.arange(sources.size), sources] = lowest  # the self edges go to the bottom, where they are cut off again
    ascending = np.sort(universe, axis=None)[sources.size :]
    values, positives = np.unique(scores[edges[:, 0], edges[:, 1]], return_counts=True)
    values, positives = values[::-1], positives[::-1]
    return Ranking(
        positives=positives,
        above=count - np.searchsorted(ascending, values, side="right"),
        reached=count - np.searchsorted(ascending, values, side="left"),
        edges=count,
    )


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
