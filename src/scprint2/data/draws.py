"""What a training has seen, counted afterwards: batches follow from seed and step alone, so that they can be drawn again.

No counts are read, and neither ranks nor interruptions of the training matter. Cells are numbers in the corpus; tables of one
value per cell take 5 bytes each, 1.8 GB for 350 million.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt

from scprint2.data.corpus import Corpus
from scprint2.data.loader import BatchLoader, DataConfig

DEPTHS: Mapping[str, int] = {"more_than_2600": 2601, "at_least_3200": 3200}  # non-zero genes of a cell. Results 3
QUANTITIES = (
    *("steps", "cells", "distinct_cells", "profiles", "profiles_per_step", "distinct_profiles"),
    *(f"{cells}_{depth}" for cells in ("corpus", "drawn") for depth in DEPTHS),
)
ALL_NEIGHBORS = 255


@dataclass(frozen=True)
class Draws:
    """How often the cells of a corpus came up.

    Attributes
    ----------
    times
        As the cell of a batch.
    reach
        The most nearest neighbors that came with it; those of a meta-cell are all that are stored.
    steps, profiles
        Batches, and the cells and neighbors in them, repeats counted; a meta-cell is one.
    """

    times: UInt[np.ndarray, " cell"]
    reach: UInt[np.ndarray, " cell"]
    steps: int
    profiles: int


def replay_draws(corpus: Corpus, config: DataConfig, *, batch_size: int, seed: int, steps: int) -> Draws:
    """Draw the batches of a training again."""
    loader = BatchLoader(corpus, config, batch_size=batch_size, seed=seed)
    times, reach = np.zeros(len(corpus), np.uint32), np.zeros(len(corpus), np.uint8)
    profiles = 0
    for step in range(steps):
        plan = loader.plan(step)
        np.add.at(times, plan.cells, 1)
        np.maximum.at(reach, plan.cells, np.where(plan.melted, ALL_NEIGHBORS, plan.neighbors).astype(np.uint8))
        profiles += len(plan.cells) * (1 + plan.neighbors)
    return Draws(times, reach, steps, profiles)


def count_draws(corpus: Corpus, draws: Draws) -> dict[str, int | float]:
    """Count what came up: `QUANTITIES`.

    `cells` are those of all batches, `profiles` these and their neighbors; `distinct_cells` and `distinct_profiles` are the same
    without repeats. `corpus_...` and `drawn_...` are percent of the cells of the corpus, and of `cells`, with so many non-zero
    genes.
    """
    return {
        "steps": draws.steps,
        "cells": int(draws.times.sum()),
        "distinct_cells": int((draws.times > 0).sum()),
        "profiles": draws.profiles,
        "profiles_per_step": draws.profiles / max(1, draws.steps),
        "distinct_profiles": _count_profiles(corpus, draws),
        **_count_deep_cells(corpus, draws),
    }


def _count_profiles(corpus: Corpus, draws: Draws) -> int:
    """Cells that came up at all, also as another one's neighbor; neighbors are of the same shard."""
    found = 0
    for start, shard in zip(corpus.starts[:-1], corpus.shards, strict=True):
        here = slice(start, start + len(shard))
        seen, reach = draws.times[here] > 0, draws.reach[here]
        if reach.any():
            used = (np.arange(shard.neighbor.shape[1]) < reach[:, None]) & (shard.neighbor >= 0)
            seen[shard.neighbor[used]] = True
        found += int(seen.sum())
    return found


def _count_deep_cells(corpus: Corpus, draws: Draws) -> dict[str, float]:
    """Percent of the cells of the corpus, and of those drawn, that express at least so many genes."""
    of_corpus, of_drawn = dict.fromkeys(DEPTHS, 0), dict.fromkeys(DEPTHS, 0)
    for start, shard in zip(corpus.starts[:-1], corpus.shards, strict=True):
        genes, times = np.diff(shard.indptr), draws.times[start : start + len(shard)]
        for depth, least in DEPTHS.items():
            of_corpus[depth] += int((genes >= least).sum())
            of_drawn[depth] += int(times[genes >= least].sum())
    cells, drawn = max(1, len(corpus)), max(1, int(draws.times.sum()))
    return {f"corpus_{depth}": 100 * number / cells for depth, number in of_corpus.items()} | {
        f"drawn_{depth}": 100 * number / drawn for depth, number in of_drawn.items()
    }
