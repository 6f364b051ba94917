"""Small predictions whose scores are known: what a metric is tested on, and what its drift is measured on.

Of each task there is one that is perfect, one that is random, one that is constant, and an ordinary one between them. Each holds
all that a prediction of its task can hold, so that every metric is scored.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scprint2.tasks.annotate import AnnotateSettings, Evidence, answer
from scprint2.tasks.layout import (
    ALL_CELLS,
    BEFORE,
    DENOISED,
    DONOR,
    EMBEDDING,
    TERM,
    TRUE_MEAN,
    UNINFLATED,
    Group,
    Network,
    lay_out,
    lay_out_truths,
)

Kind = Literal["perfect", "random", "constant", "ordinary"]
KINDS: tuple[Kind, ...] = ("perfect", "random", "constant", "ordinary")
CELLS, GENES, DONORS = 300, 40, 4
TYPES = ("CL:0000084", "CL:0000236", "CL:0000576", "CL:0000623")  # T cell, B cell, monocyte, natural killer cell
SHARES = (0.4, 0.3, 0.2, 0.1)
# Types that no cell has: neutrophil, which with the four above makes the leukocytes, fibroblast, epithelial cell, neuron.
LEAVES = (*TYPES, "CL:0000775", "CL:0000057", "CL:0000066", "CL:0000540")
LEUKOCYTES = 5
ANSWERS = AnnotateSettings.model_validate(
    {
        "batch_size": 1, "cells": CELLS, "max_genes": GENES,
        "candidates": 5, "rival_odds": 0.5, "least_confidence": 0,
        "refinements": {
            "smoothed": {"kind": "smooth", "neighbors": 6, "strength": 0.1, "weights": "equal"},
            "cluster_mean": {"kind": "pool", "neighbors": 15, "resolution": 1, "statistic": "mean"},
            "cluster_max": {"kind": "pool", "neighbors": 15, "resolution": 1, "statistic": "max"},
        },
    }
)  # fmt: skip
FURTHER_KIND = "all"  # of embeddings
METHODS = ("mean_queries_keys", "mean_attention")
# Known networks: the genes that are their sources, and the targets of each.
TRUTHS = {"known": (range(8), 5), "further": (range(8, 12), 6)}


def denoising_example(kind: Kind) -> AnnData:
    """Restored counts, and the means without zero probability; the means before the noise are the counts themselves."""
    rng = np.random.default_rng(0)
    full = rng.poisson(rng.gamma(1.0, 4.0, size=(4, GENES))[_types()] * rng.lognormal(0, 0.4, size=(CELLS, 1)))
    noisy = rng.binomial(full, 0.4)
    restored = {
        "perfect": full,
        "random": rng.random(full.shape),
        "constant": np.ones(full.shape),
        "ordinary": noisy + 0.3 * full + rng.random(full.shape),
    }
    uninflated = {"random": rng.random(full.shape), "ordinary": restored["ordinary"] + 0.3 * full}
    obs = pd.DataFrame({"depth": full.sum(axis=1), "noisy_depth": noisy.sum(axis=1), DONOR: _donors()}, index=_names())
    prediction = AnnData(sparse.csr_matrix(full), obs=obs, var=pd.DataFrame(index=_genes()))
    prediction.layers["noisy"] = sparse.csr_matrix(noisy)
    prediction.layers[TRUE_MEAN] = full.astype(np.float32)
    prediction.layers[DENOISED] = restored[kind].astype(np.float32)
    prediction.layers[UNINFLATED] = uninflated.get(kind, restored[kind]).astype(np.float32)
    return prediction


def embedding_example(kind: Kind) -> AnnData:
    """Two kinds of embeddings of four types in three batches; in the ordinary ones types overlap and batches lie apart."""
    labels, batches = np.array(TYPES)[_types()], np.char.add("batch ", _batches().astype(str))
    prediction = AnnData(obs=pd.DataFrame({"label": labels, "batch": batches}, index=_names()).astype("category"))
    prediction.obsm[EMBEDDING] = _place_cells(kind, seed=0)
    prediction.obsm[f"{EMBEDDING}_{FURTHER_KIND}"] = _place_cells(kind, seed=1)
    prediction.obsm[BEFORE] = _place_cells("ordinary", seed=0)
    return prediction


def annotation_example(kind: Kind) -> AnnData:
    """Calls among eight types, of which the cells have four; none is a descendant of another."""
    rng = np.random.default_rng(0)
    truth, noise = np.eye(len(LEAVES))[_types()], rng.normal(size=(CELLS, len(LEAVES)))
    logits = {
        "perfect": 40 * truth - 20,
        "random": noise,
        "constant": np.zeros(noise.shape),
        "ordinary": 2 * truth + noise,
    }
    cells = AnnData(obs=pd.DataFrame({TERM: np.array(TYPES)[_types()]}, index=_names()))
    evidence = Evidence(LEAVES, logits[kind].astype(np.float32), _place_cells(kind, seed=0))
    prediction = answer(cells, evidence, settings=ANSWERS)
    prediction.obs[DONOR] = _donors()
    return prediction


def network_example(kind: Kind) -> AnnData:
    """Two networks, of one method each, over genes of which some are known to regulate others, by two known networks."""
    rng = np.random.default_rng(0)
    truths = {name: _draw_truth(sources, targets, rng=rng) for name, (sources, targets) in TRUTHS.items()}
    known = sum(truths.values())
    networks = []
    for method in METHODS:
        noise = rng.random((GENES, GENES))
        scores = {"perfect": known, "random": noise, "constant": np.ones_like(noise), "ordinary": 0.5 * known + noise}
        group = Group(ALL_CELLS, np.arange(CELLS), np.arange(GENES))
        networks.append(Network(group, method, scores[kind].astype(np.float32)))
    prediction = lay_out(AnnData(obs=pd.DataFrame(index=_names()), var=pd.DataFrame(index=_genes())), networks)
    edges = {
        name: pd.DataFrame(_genes().to_numpy()[np.argwhere(truth)], columns=pd.Index(["regulator", "target"]))
        for name, truth in truths.items()
    }
    prediction.uns["truth"] = lay_out_truths(edges, genes=prediction.var_names)
    return prediction


EXAMPLES: Mapping[str, Callable[[Kind], AnnData]] = {
    "denoise": denoising_example,
    "embed": embedding_example,
    "annotate": annotation_example,
    "networks": network_example,
}


def shuffle_rows(prediction: AnnData, *, seed: int) -> AnnData:
    """The same prediction with its cells in another order; where it is of genes, with its genes in another order."""
    rng = np.random.default_rng(seed)
    if prediction.n_obs:
        return prediction[rng.permutation(prediction.n_obs)].copy()
    return prediction[:, rng.permutation(prediction.n_vars)].copy()


def _place_cells(kind: Kind, *, seed: int) -> np.ndarray:
    """Points in eight dimensions: a place for each type and, where ordinary, a shift for each batch."""
    noise = np.random.default_rng(seed).normal(size=(CELLS, 8))
    centers, shifts = np.eye(4, 8)[_types()], np.eye(3, 8, k=4)[_batches()]
    points = {
        "perfect": 50 * centers + noise,
        "random": noise,
        "constant": np.ones(noise.shape),
        "ordinary": 3 * centers + 1.5 * shifts + noise,
    }
    return points[kind].astype(np.float32)


def _draw_truth(sources: Iterable[int], targets: int, *, rng: np.random.Generator) -> np.ndarray:
    """A known network as a matrix of ones; what is regulated comes behind all sources."""
    truth, first = np.zeros((GENES, GENES)), 1 + max(max(sources) for sources, _ in TRUTHS.values())
    for source in sources:
        truth[source, rng.choice(np.arange(first, GENES), targets, replace=False)] = 1
    return truth


def _types() -> np.ndarray:
    return np.random.default_rng(1).choice(len(TYPES), CELLS, p=SHARES)


def _batches() -> np.ndarray:
    return np.random.default_rng(2).integers(3, size=CELLS)


def _donors() -> pd.Categorical:
    return pd.Categorical([f"donor {number}" for number in np.arange(CELLS) % DONORS])


def _names() -> pd.Index:
    return pd.Index([f"cell {number}" for number in range(CELLS)])


def _genes() -> pd.Index:
    return pd.Index([f"ENSG{number:05d}" for number in range(GENES)])
