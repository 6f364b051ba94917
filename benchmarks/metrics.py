"""B8: networks of 16 million edges against scikit-learn and benGRN, scIB of 5,000 cells against scib-metrics and scib."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import contextlib
import io
from importlib.metadata import version

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.common import interleave
from scprint2.metrics.embedding import BATCH, BIO, score_embedding, summarize_embedding
from scprint2.metrics.networks import score_network

GENES, PREVALENCE = 4000, 0.0012
CELLS, DIM, LABELS, BATCHES = 5000, 64, 12, 6
TARGETS = {"network_seconds": 2, "scib_seconds": 10, "average_precision_error": 1e-6}
KMEANS = ("nmi_kmeans", "ari_kmeans")  # the library takes one random start, ours the best of ten


def measure() -> dict:
    """Time both kinds of metrics beside their peers, and say how far the values agree."""
    names = ("scikit-learn", "scib-metrics", "scib", "bengrn")
    return {"targets": TARGETS, "peers": {name: version(name) for name in names}} | measure_network() | measure_scib()


def measure_network() -> dict:
    """Odds ratio, both areas and the precision at K over 16 million edges; the peers compute a part of these."""
    from bengrn.base import compute_pr

    rng = np.random.default_rng(0)
    true = rng.random((GENES, GENES)) < PREVALENCE
    true[:, 0] = True  # every gene is a source, since benGRN has no universe of edges
    np.fill_diagonal(true, 0)
    scores = (rng.random((GENES, GENES)) + 0.2 * true).astype(np.float32)
    np.fill_diagonal(scores, 0)
    edges, off_diagonal = np.argwhere(true), ~np.eye(GENES, dtype=bool)
    flat_true, flat_scores = true[off_diagonal], scores[off_diagonal]
    timed = interleave(
        {
            "ours": lambda _: score_network(scores, edges),
            "scikit_learn": lambda _: average_precision_score(flat_true, flat_scores),
            "bengrn": lambda _: compute_pr(scores, true.astype(np.float32), do_auc=True, doplot=False),
        },
        repeats={"ours": 1, "scikit_learn": 1, "bengrn": 1},
    )
    ours = {name: score.value for name, score in score_network(scores, edges).items()}
    theirs = compute_pr(scores, true.astype(np.float32), do_auc=True, doplot=False)
    error = abs(ours["average_precision"] - average_precision_score(flat_true, flat_scores))
    return {
        "networks": timed,
        "edges": int(off_diagonal.sum()),
        "average_precision_error": float(error),
        "odds_ratio": ours["odds_ratio"],
        "odds_ratio_of_bengrn": float(theirs["odd_ratio"]),
        "times_faster_than_scikit_learn": timed["scikit_learn"]["seconds"] / timed["ours"]["seconds"],
        "times_faster_than_bengrn": timed["bengrn"]["seconds"] / timed["ours"]["seconds"],
    }


def measure_scib() -> dict:
    """CPU seconds for the parts of scIB's total, ours also with the classic ones beside them; the libraries cold and warm."""
    rng = np.random.default_rng(0)
    labels, batches = rng.choice(LABELS, CELLS, p=rng.dirichlet(np.full(LABELS, 3.0))), rng.integers(0, BATCHES, CELLS)
    points = rng.normal(size=(LABELS, DIM))[labels] + 0.3 * rng.normal(size=(BATCHES, DIM))[batches]
    points = (points + rng.normal(size=points.shape)).astype(np.float32)
    names, origins = np.char.add("type ", labels.astype(str)), np.char.add("batch ", batches.astype(str))
    jobs = {
        "ours, total": lambda: summarize_embedding(points, labels=names, batches=origins),
        "ours, total and classic": lambda: score_embedding(points, labels=names, batches=origins),
        "scib-metrics": lambda: _scib_metrics_parts(points, names, origins),
        "scib": lambda: _scib_parts(points, names, origins),
    }
    results, seconds = {}, {name: [] for name in jobs}
    for _ in range(4):
        for name, job in jobs.items():
            results[name], spent = _time(job)
            seconds[name].append(spent)
    ours, theirs = results["ours, total and classic"], results["scib-metrics"]
    warm = {name: min(spent[1:]) for name, spent in seconds.items()}
    differences = {name: abs(ours[name].value - theirs[name]) for name in BIO + BATCH}
    return {
        "scib_seconds": seconds["ours, total and classic"],
        "first_seconds": {name: spent[0] for name, spent in seconds.items()},
        "least_seconds_later": warm,
        "cells": CELLS,
        "largest_difference_without_kmeans": max(value for name, value in differences.items() if name not in KMEANS),
        "differences": differences,
        "difference_of_silhouette_batch_from_scib": abs(
            ours["silhouette_batch"].value - results["scib"]["silhouette_batch"]
        ),
        "times_faster": {
            "total than scib-metrics, cold": seconds["scib-metrics"][0] / seconds["ours, total"][0],
            "total than scib-metrics, warm": warm["scib-metrics"] / warm["ours, total"],
            "total and classic than scib, warm": warm["scib"] / warm["ours, total and classic"],
        },
    }


def _scib_metrics_parts(points: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> dict[str, float]:
    """What scib-metrics' benchmark computes, on exact neighbors."""
    import scib_metrics as library
    from scib_metrics.nearest_neighbors import NeighborsResults

    from scprint2.metrics.neighbors import find_neighbors

    found = find_neighbors(points, number=90)
    near = {n: NeighborsResults(found.indices[:, :n], found.distances[:, :n].astype(np.float32)) for n in (15, 50, 90)}
    clusters = library.nmi_ari_cluster_labels_kmeans(points.copy(), labels)  # it centers its input in place and back
    parts = {
        "isolated_labels": library.isolated_labels(points, labels, batches),
        "nmi_kmeans": clusters["nmi"],
        "ari_kmeans": clusters["ari"],
        "silhouette_label": library.silhouette_label(points, labels),
        "clisi": library.clisi_knn(near[90], labels),
        "bras": library.bras(points, labels, batches),
        "ilisi": library.ilisi_knn(near[90], batches),
        "kbet_per_label": library.kbet_per_label(near[50], batches, labels),
        "graph_connectivity": library.graph_connectivity(near[15], labels),
    }
    return {name: float(value) for name, value in parts.items()}


def _scib_parts(points: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> dict[str, float]:
    """What scib computes of an embedding without R (kBET): the classic parts, a single thread."""
    import anndata
    import pandas as pd
    import scanpy
    import scib

    obs = pd.DataFrame({"label": labels, "batch": batches}, index=np.arange(len(labels)).astype(str)).astype("category")
    cells = anndata.AnnData(np.zeros((len(labels), 1), dtype=np.float32), obs=obs, obsm={"X_emb": points.copy()})
    known, place = {"label_key": "label", "batch_key": "batch"}, {"embed": "X_emb"}
    scanpy.pp.neighbors(cells, use_rep="X_emb")
    scib.me.cluster_optimal_resolution(cells, label_key="label", cluster_key="cluster", verbose=False)
    lisi = {"type_": "embed", "use_rep": "X_emb", "n_cores": 1}
    parts = {
        "nmi": scib.me.nmi(cells, "cluster", "label"),
        "ari": scib.me.ari(cells, "cluster", "label"),
        "silhouette_label": scib.me.silhouette(cells, label_key="label", **place),
        "silhouette_batch": scib.me.silhouette_batch(cells, **known, **place, verbose=False),
        "isolated_labels": scib.me.isolated_labels_asw(cells, **known, **place, iso_threshold=BATCHES, verbose=False),
        "isolated_labels_f1": scib.me.isolated_labels_f1(
            cells, **known, embed=None, iso_threshold=BATCHES, verbose=False
        ),
        "graph_connectivity": scib.me.graph_connectivity(cells, "label"),
        "clisi": scib.me.clisi_graph(cells, label_key="label", **lisi),
        "ilisi": scib.me.ilisi_graph(cells, batch_key="batch", **lisi),
    }
    return {name: float(value) for name, value in parts.items()}


def _time(function) -> tuple:
    """The result, and the CPU seconds of this process and of those that it starts (scib's LISI is a program of its own)."""
    begin = sum(os.times()[:4])
    with contextlib.redirect_stdout(io.StringIO()):
        result = function()
    return result, sum(os.times()[:4]) - begin
