"""What a training has seen: as its batches say, one by one."""

import numpy as np
import pytest

from scprint2.data import draws as module
from scprint2.data.draws import QUANTITIES, count_draws, replay_draws
from scprint2.data.loader import BatchLoader

from .builders import data_config, small_corpus

STEPS, BATCH = 12, 16
MIXED = {"neighbors": {"kind": "random", "most": 3}, "metacells": {"kind": "average", "share": 0.2}}
NO_REPEATS = {"sampling": {"kind": "shuffled"}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


def seen_one_by_one(corpus, loader) -> tuple[list[int], set[int], int]:
    """Cells with repeats, cells and neighbors without, and the number of profiles, from the plan of each step."""
    cells: list[int] = []
    everything: set[int] = set()
    profiles = 0
    for step in range(STEPS):
        plan = loader.plan(step)
        for cell, melted in zip(plan.cells, plan.melted, strict=True):
            shard, row = (value[0] for value in corpus.locate(np.array([cell])))
            stored = corpus.shards[shard].neighbor[row]
            known = (stored[stored >= 0] + corpus.starts[shard]).tolist()
            cells.append(int(cell))
            everything |= {int(cell), *(known if melted else known[: plan.neighbors])}
            profiles += 1 + plan.neighbors
    return cells, everything, profiles


@pytest.mark.parametrize("changes", [{}, MIXED, NO_REPEATS])
def test_counts_are_those_of_the_batches(corpus, changes, monkeypatch):
    monkeypatch.setattr(module, "DEPTHS", {"more_than_2600": 20, "at_least_3200": 25})
    config = data_config(**changes)
    cells, everything, profiles = seen_one_by_one(corpus, BatchLoader(corpus, config, batch_size=BATCH, seed=5))
    found = count_draws(corpus, replay_draws(corpus, config, batch_size=BATCH, seed=5, steps=STEPS))
    assert tuple(found) == QUANTITIES
    assert (found["steps"], found["cells"]) == (STEPS, STEPS * BATCH)
    assert (found["distinct_cells"], found["distinct_profiles"]) == (len(set(cells)), len(everything))
    assert (found["profiles"], found["profiles_per_step"]) == (profiles, profiles / STEPS)
    genes = np.concatenate([np.diff(shard.indptr) for shard in corpus.shards])
    assert found["corpus_more_than_2600"] == pytest.approx(100 * (genes >= 20).mean())
    assert found["drawn_at_least_3200"] == pytest.approx(100 * (genes[cells] >= 25).mean())
    assert 0 < found["drawn_at_least_3200"] < 100


def test_without_replacement_every_cell_is_distinct_and_neighbors_add_others(corpus):
    alone, beside = (
        count_draws(corpus, replay_draws(corpus, data_config(**changes), batch_size=BATCH, seed=5, steps=STEPS))
        for changes in (NO_REPEATS, NO_REPEATS | {"neighbors": {"kind": "random", "most": 6}})
    )
    assert alone["distinct_cells"] == alone["distinct_profiles"] == alone["profiles"] == STEPS * BATCH
    assert beside["distinct_cells"] == STEPS * BATCH
    assert STEPS * BATCH < beside["distinct_profiles"] <= len(corpus)


def test_the_parts_of_all_ranks_are_what_is_counted(corpus):
    config = data_config(**MIXED)
    ranks = [BatchLoader(corpus, config, batch_size=BATCH, seed=5, rank=rank, world=2) for rank in range(2)]
    cells = np.concatenate([loader.plan(step).cells for step in range(STEPS) for loader in ranks])
    times = replay_draws(corpus, config, batch_size=BATCH, seed=5, steps=STEPS).times
    assert np.array_equal(times, np.bincount(cells, minlength=len(corpus)))


def test_a_model_that_was_never_trained_has_seen_nothing(corpus):
    found = count_draws(corpus, replay_draws(corpus, data_config(), batch_size=BATCH, seed=5, steps=0))
    assert {name: value for name, value in found.items() if not name.startswith("corpus")} == dict.fromkeys(
        (name for name in QUANTITIES if not name.startswith("corpus")), 0
    )
