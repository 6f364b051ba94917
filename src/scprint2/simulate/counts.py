"""Counting: from expected counts to negative-binomial counts with zeros beyond them."""

import numpy as np
from jaxtyping import Float, Int

from scprint2.simulate.terms import Assay


def expected_counts(
    log_expression: Float[np.ndarray, "cell gene"], *, depth: Float[np.ndarray, " cell"]
) -> Float[np.ndarray, "cell gene"]:
    """Share of each gene in its cell's expression times the cell's depth."""
    relative = np.exp(log_expression - log_expression.max(1, keepdims=True))
    return relative * (depth / relative.sum(1))[:, None]


def draw_counts(
    rng: np.random.Generator,
    mean: Float[np.ndarray, "cell gene"],
    *,
    dispersion: float,
    zero_share: Float[np.ndarray, "..."],
) -> Int[np.ndarray, "cell gene"]:
    """Counts of variance mean + mean² / dispersion, set to zero with the probability `zero_share`."""
    rate = rng.gamma(dispersion, mean / dispersion)
    return np.where(rng.random(mean.shape) < zero_share, 0, rng.poisson(rate))


def dropout_share(mean: Float[np.ndarray, "cell gene"], assay: Assay) -> Float[np.ndarray, "cell gene"]:
    """Probability that a transcript is missed altogether: large for low means, halved at the assay's `dropout_mean`."""
    return assay.dropout / (1 + mean / assay.dropout_mean)
