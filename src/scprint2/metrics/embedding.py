"""The scIB score of an embedding, and what stands beside it because that score is contested (D30)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy.sparse import csr_matrix
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from scprint2.metrics import batch_removal, conservation
from scprint2.metrics.attempt import attempt
from scprint2.metrics.neighbors import Neighbors, connectivities, find_neighbors, neighbor_probabilities
from scprint2.metrics.score import Score, combine, computed_once, failed, mean

BIO = ("isolated_labels", "nmi_kmeans", "ari_kmeans", "silhouette_label", "clisi")
BATCH = ("bras", "ilisi", "kbet_per_label", "graph_connectivity")
CLASSIC_BIO = ("nmi_leiden", "ari_leiden", "silhouette_label", "isolated_labels", "isolated_labels_f1", "clisi")
CLASSIC_BATCH = ("silhouette_batch", "ilisi", "graph_connectivity_symmetric")
# Open Problems' parts, but for conservation of the cell cycle and overlap of variable genes, which need expression.
OPEN_PROBLEMS_BATCH = ("silhouette_batch", "graph_connectivity_symmetric", "ilisi", "kbet_per_label", "pcr_comparison")
BESIDE = ("cilisi", "knn_label_purity")
BIO_PERCENT, BATCH_PERCENT = 60, 40  # of a total; Open Problems' (batch + 1.5 bio) / 2.5 is the same
TOTALS = ("scib_bio", "scib_batch", "scib_total", "scib_classic_total", "open_problems_total")
SUMMARY = ("scib_bio", "scib_batch", "scib_total", "bras", "cilisi", "knn_label_purity")
NEIGHBORS = 90  # for LISI; kBET takes the first 50, graph connectivity and Leiden the first 15, as scib-metrics does


def score_embedding(
    embedding: Num[np.ndarray, "cell dim"],
    *,
    labels: Shaped[np.ndarray, " cell"],
    batches: Shaped[np.ndarray, " cell"],
    before: Num[np.ndarray, "cell component"] | None = None,
) -> dict[str, Score]:
    """Score one embedding: every part in [0, 1], as scib-metrics gives it, and the totals times 100.

    `scib_total` is Table 1's: 60 x mean of the `BIO` parts + 40 x mean of the `BATCH` parts (D33); `scib_bio` and `scib_batch`
    are these means. `scib_classic_total` has the classic scIB parts that need no R and no pre-integrated data
    (`CLASSIC_BIO`, `CLASSIC_BATCH`). `open_problems_total` is (batch + 1.5 x bio) / 2.5 over the parts of Open Problems that an
    embedding has (`CLASSIC_BIO`, `OPEN_PROBLEMS_BATCH`). `BESIDE` are metrics that mixing or stretching the embedding does not
    raise. A part that fails fails its totals. The result does not depend on the order of the labels' names but for ties.

    Parameters
    ----------
    labels, batches
        Known cell type and batch of each cell; cells without a label are to be left out before.
    before
        Principal components of the same cells before integration. Without them there are neither `pcr_comparison` nor
        `open_problems_total`.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    _check_lengths(embedding, labels, batches)
    cells = _Cells(embedding, labels.astype(str), batches.astype(str), before)
    known = TOTALS if before is not None else TOTALS[:-1]
    unusable = _find_fault(embedding)
    if unusable:
        return dict.fromkeys([*_parts(cells), *known], failed(unusable))
    scores = {name: attempt(part) for name, part in _parts(cells).items()}
    return scores | {name: total for name, total in _totals(scores).items() if name in known}


def summarize_embedding(
    embedding: Num[np.ndarray, "cell dim"],
    *,
    labels: Shaped[np.ndarray, " cell"],
    batches: Shaped[np.ndarray, " cell"],
) -> dict[str, Score]:
    """Give the `SUMMARY` of `score_embedding` alone, which needs no Leiden clusters and so takes a fraction of the time.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    _check_lengths(embedding, labels, batches)
    unusable = _find_fault(embedding)
    if unusable:
        return dict.fromkeys(SUMMARY, failed(unusable))
    parts = _parts(_Cells(embedding, labels.astype(str), batches.astype(str), None))
    needed = dict.fromkeys([*BIO, *BATCH, *(name for name in SUMMARY if name in parts)])
    scores = {name: attempt(parts[name]) for name in needed}
    return {name: (scores | _totals(scores))[name] for name in SUMMARY}


def _check_lengths(embedding: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> None:
    if not len(embedding) == len(labels) == len(batches):
        raise ValueError(
            f"{len(embedding)} embeddings, {len(labels)} labels and {len(batches)} batches: one of each per cell is needed, "
            "in the same order."
        )


@dataclass(frozen=True)
class _Cells:
    """An embedding and what several metrics read off it, each computed once, by the first that needs it."""

    embedding: Num[np.ndarray, "cell dim"]
    labels: Shaped[np.ndarray, " cell"]
    batches: Shaped[np.ndarray, " cell"]
    before: Num[np.ndarray, "cell component"] | None

    @computed_once
    def neighbors(self) -> Neighbors:
        return find_neighbors(self.embedding, number=NEIGHBORS)

    @computed_once
    def weights(self) -> csr_matrix:
        return connectivities(self.neighbors.nearest(15))

    @computed_once
    def silhouettes(self) -> Float[np.ndarray, " cell"]:
        return conservation.silhouette_samples(self.embedding, self.labels)

    @computed_once
    def probabilities(self) -> Float[np.ndarray, "cell neighbor"]:
        return neighbor_probabilities(self.neighbors.nearest(NEIGHBORS), perplexity=NEIGHBORS // 3)

    @computed_once
    def kmeans(self) -> Int[np.ndarray, " cell"]:
        return conservation.cluster_kmeans(self.embedding, clusters=len(np.unique(self.labels)))

    @computed_once
    def clusterings(self) -> list[Int[np.ndarray, " cell"]]:
        return conservation.cluster_leiden(self.weights)

    @computed_once
    def leiden(self) -> Int[np.ndarray, " cell"]:
        """The clustering with the highest NMI: scIB tunes the resolution on the labels."""
        return max(self.clusterings, key=lambda clusters: normalized_mutual_info_score(self.labels, clusters))

    def inverse_simpson(self, groups: Shaped[np.ndarray, " cell"]) -> Float[np.ndarray, " cell"]:
        return conservation.inverse_simpson(self.probabilities, self.neighbors, groups)


def _parts(cells: _Cells) -> dict[str, Callable[[], float]]:
    """Every single metric, ready to be called."""
    groups: dict[str, Any] = {"labels": cells.labels, "batches": cells.batches}
    labels, batches, before = len(np.unique(cells.labels)), len(np.unique(cells.batches)), cells.before
    comparison: dict[str, Callable[[], float]] = (
        {}
        if before is None
        else {
            "pcr_comparison": lambda: batch_removal.pcr_comparison(before, cells.embedding, batches=cells.batches),
        }
    )
    return {
        "isolated_labels": lambda: conservation.isolated_labels(cells.silhouettes, **groups),
        "nmi_kmeans": lambda: normalized_mutual_info_score(cells.labels, cells.kmeans),
        "ari_kmeans": lambda: adjusted_rand_score(cells.labels, cells.kmeans),
        "silhouette_label": lambda: conservation.silhouette_label(cells.silhouettes),
        "clisi": lambda: conservation.clisi(cells.inverse_simpson(cells.labels), groups=labels),
        "bras": lambda: batch_removal.bras(cells.embedding, **groups),
        "ilisi": lambda: batch_removal.ilisi(cells.inverse_simpson(cells.batches), groups=batches),
        "kbet_per_label": lambda: batch_removal.kbet_per_label(connectivities(cells.neighbors.nearest(50)), **groups),
        "graph_connectivity": lambda: batch_removal.graph_connectivity(
            cells.neighbors.nearest(15).graph, labels=cells.labels
        ),
        "nmi_leiden": lambda: normalized_mutual_info_score(cells.labels, cells.leiden),
        "ari_leiden": lambda: adjusted_rand_score(cells.labels, cells.leiden),
        "isolated_labels_f1": lambda: conservation.isolated_labels_f1(cells.clusterings, **groups),
        "silhouette_batch": lambda: batch_removal.silhouette_batch(cells.embedding, **groups),
        "graph_connectivity_symmetric": lambda: batch_removal.graph_connectivity(cells.weights, labels=cells.labels),
        "cilisi": lambda: batch_removal.cilisi(cells.embedding, **groups),
        "knn_label_purity": lambda: conservation.knn_label_purity(cells.neighbors.nearest(15), cells.labels),
        **comparison,
    }


def _totals(scores: dict[str, Score]) -> dict[str, Score]:
    """The weighted totals, each failed if one of its parts is."""

    def total(bio: tuple[str, ...], batch: tuple[str, ...]) -> Score:
        def weigh(*values: float) -> float:
            return BIO_PERCENT * mean(values[: len(bio)]) + BATCH_PERCENT * mean(values[len(bio) :])

        return combine({name: scores.get(name, absent) for name in bio + batch}, weigh)

    def part(names: tuple[str, ...]) -> Score:
        return combine({name: scores[name] for name in names}, lambda *values: 100 * mean(values))

    absent = failed("was not computed")
    totals = (
        part(BIO),
        part(BATCH),
        total(BIO, BATCH),
        total(CLASSIC_BIO, CLASSIC_BATCH),
        total(CLASSIC_BIO, OPEN_PROBLEMS_BATCH),
    )
    return dict(zip(TOTALS, totals, strict=True))


def _find_fault(embedding: np.ndarray) -> str:
    """Say what makes an embedding useless to every metric; nothing if it is fine."""
    if not np.isfinite(embedding).all():
        return f"the embedding holds {int((~np.isfinite(embedding)).sum())} values that are not finite numbers"
    if len(embedding) == 0 or (embedding == embedding[0]).all():
        return f"all {len(embedding)} cells have the same embedding"
    return ""
