"""A small embedding with labels and batches, as different in size as real ones."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Example:
    embedding: np.ndarray
    labels: np.ndarray
    batches: np.ndarray


def make_example(*, cells: int = 400, separation: float, batch_effect: float = 0.3, dim: int = 12) -> Example:
    """Cells of five types in three batches; the rarest type is in one batch only, and two pairs of cells are equal."""
    rng = np.random.default_rng(0)
    labels = rng.choice(5, cells, p=[0.4, 0.25, 0.15, 0.12, 0.08])
    labels[6], labels[8] = labels[5], labels[7]
    batches = np.where(labels == 4, 0, rng.integers(0, 3, cells))
    embedding = rng.normal(size=(5, dim))[labels] * separation + rng.normal(size=(3, dim))[batches] * batch_effect
    embedding += rng.normal(size=(cells, dim))
    embedding[6], embedding[8] = embedding[5], embedding[7]
    names = np.array(["T cell", "B cell", "monocyte", "NK cell", "platelet"])
    return Example(embedding.astype(np.float32), names[labels], np.array(["a", "b", "c"])[batches])
