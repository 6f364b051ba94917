"""Small predictions whose scores are known: what a metric is tested on, and what its drift is measured on.

Of each task there is one that is perfect, one that is random, one that is constant, and an ordinary one between them.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scprint2.tasks.annotate import annotation
from scprint2.tasks.layout import (
    ALL_CELLS,
    BEFORE,
    DENOISED,
    DONOR,
    EMBEDDING,
    TERM,
    TRUE_MEAN,
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
METHODS = ("mean_queries_keys", "mean_attention")
SOURCES, TARGETS = 8, 5


def denoising_example(kind: Kind) -> AnnData:
    """Restored counts; the means before the noise are the counts themselves."""
    rng = np.random.default_rng(0)
    full = rng.poisson(rng.gamma(1.0, 4.0, size=(4, GENES))[_types()] * rng.lognormal(0, 0.4, size=(CELLS, 1)))
    noisy = rng.binomial(full, 0.4)
    restored = {
        "perfect": full,
        "random": rng.random(full.shape),
        "constant": np.ones(full.shape),
        "ordinary": noisy + 0.3 * full + rng.random(full.shape),
    }
    obs = pd.DataFrame({"depth": full.sum(axis=1), "noisy_depth": noisy.sum(axis=1), DONOR: _donors()}, index=_names())
    prediction = AnnData(sparse.csr_matrix(full), obs=obs, var=pd.DataFrame(index=_genes()))
    prediction.layers["noisy"] = sparse.csr_matrix(noisy)
    prediction.layers[TRUE_MEAN] = full.astype(np.float32)
    prediction.layers[DENOISED] = restored[kind].astype(np.float32)
    return prediction


def embedding_example(kind: Kind) -> AnnData:
    """Embeddings of four types in three batches; in the ordinary one types overlap and batches lie apart."""
    rng = np.random.default_rng(0)
    batches, dim = rng.integers(3, size=CELLS), 8
    noise = rng.normal(size=(CELLS, dim))
    centers, shifts = np.eye(4, dim)[_types()], np.eye(3, dim, k=4)[batches]
    points = {
        "perfect": 50 * centers + noise,
        "random": noise,
        "constant": np.ones((CELLS, dim)),
        "ordinary": 3 * centers + 1.5 * shifts + noise,
    }
    labels = np.array(TYPES)[_types()]
    obs = pd.DataFrame({"label": labels, "batch": np.char.add("batch ", batches.astype(str))}, index=_names())
    prediction = AnnData(obs=obs.astype("category"))
    prediction.obsm[EMBEDDING] = points[kind].astype(np.float32)
    prediction.obsm[BEFORE] = points["ordinary"].astype(np.float32)
    return prediction


def annotation_example(kind: Kind) -> AnnData:
    """Calls among four types that are no descendants of one another."""
    rng = np.random.default_rng(0)
    truth, drawn = np.array(TYPES)[_types()], rng.choice(TYPES, CELLS)
    called = {
        "perfect": truth,
        "random": drawn,
        "constant": np.full(CELLS, TYPES[0]),
        "ordinary": np.where(rng.random(CELLS) < 0.6, truth, drawn),
    }
    cells = AnnData(obs=pd.DataFrame({TERM: truth}, index=_names()))
    confidence = {"perfect": np.ones(CELLS), "constant": np.full(CELLS, 0.5)}.get(kind, rng.random(CELLS))
    prediction = annotation(cells, called[kind], confidence=confidence, known=TYPES)
    prediction.obs[DONOR] = _donors()
    return prediction


def network_example(kind: Kind) -> AnnData:
    """Two networks, of one method each, over genes of which some are known to regulate others."""
    rng = np.random.default_rng(0)
    truth = np.zeros((GENES, GENES))
    for source in range(SOURCES):
        truth[source, rng.choice(np.arange(SOURCES, GENES), TARGETS, replace=False)] = 1
    networks = []
    for method in METHODS:
        noise = rng.random((GENES, GENES))
        scores = {"perfect": truth, "random": noise, "constant": np.ones_like(noise), "ordinary": 0.5 * truth + noise}
        group = Group(ALL_CELLS, np.arange(CELLS), np.arange(GENES))
        networks.append(Network(group, method, scores[kind].astype(np.float32)))
    prediction = lay_out(AnnData(obs=pd.DataFrame(index=_names()), var=pd.DataFrame(index=_genes())), networks)
    pairs = [(_genes()[source], _genes()[target]) for source, target in np.argwhere(truth)]
    edges = pd.DataFrame(pairs, columns=pd.Index(["regulator", "target"]))
    prediction.uns["truth"] = lay_out_truths({"known": edges}, genes=prediction.var_names)
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


def _types() -> np.ndarray:
    return np.random.default_rng(1).choice(len(TYPES), CELLS, p=SHARES)


def _donors() -> pd.Categorical:
    return pd.Categorical([f"donor {number}" for number in np.arange(CELLS) % DONORS])


def _names() -> pd.Index:
    return pd.Index([f"cell {number}" for number in range(CELLS)])


def _genes() -> pd.Index:
    return pd.Index([f"ENSG{number:05d}" for number in range(GENES)])
