"""B2: time and memory of weighted draws from 350 million cells in 140 thousand groups, against tables of all cells.

The peers cannot take that many cells in a small machine; they are run on 10 million, and so are ours beside them.
"""

import tracemalloc

import numpy as np
import torch
from scipy import stats

from benchmarks.common import interleave
from scprint2.data.sampler import Blocks, BlockSampler, ConstantSaturation, SigmoidDepth
from scprint2.data.shard import LEVELS

CELLS, GROUPS, STRATA_PER_GROUP, BATCH = 350_000_000, 140_000, 1.2, 64
PEER_CELLS, PEER_GROUPS = 10_000_000, 4000
DEPTH = SigmoidDepth(kind="sigmoid", midpoint=2000, steepness=0.003, scale=1000)
TARGETS = {"microseconds_per_draw": 2, "megabytes": 50, "reweighting_seconds": 0.1}


def simulate_blocks(cells: int, groups: int) -> tuple[Blocks, np.ndarray, np.ndarray, np.ndarray]:
    """Return blocks of `cells` cells, and group, number of cells and weight of each block before sorting."""
    rng = np.random.default_rng(0)
    strata = int(groups * STRATA_PER_GROUP)
    group = np.concatenate([np.arange(groups), rng.integers(groups, size=strata - groups)])
    share = rng.lognormal(0, 2, size=strata)
    size = np.maximum(1, (cells * share / share.sum()).astype(np.int64))
    mean = np.linspace(400, 6000, LEVELS)
    table = rng.multinomial(size, rng.dirichlet(np.full(LEVELS, 2.0)))
    number = table.reshape(-1)
    block_group, weight = np.repeat(group, LEVELS), np.tile(DEPTH.weight(mean), strata)
    blocks = Blocks.build(block_group, np.cumsum(number) - number, number, weight=weight)
    return blocks, block_group, number, weight


def measure() -> dict:
    """Return time per draw, memory, and time of a new saturation; and how draws compare with those of the peers."""
    torch.set_num_threads(1)
    blocks, *_ = simulate_blocks(CELLS, GROUPS)
    saturation = ConstantSaturation(kind="constant", value=200)
    tracemalloc.start()
    sampler = BlockSampler(blocks, saturation=saturation, seed=0)
    sampler.draw(0, BATCH)
    megabytes = (blocks.nbytes + tracemalloc.get_traced_memory()[1] - blocks.group_bounds.nbytes) / 1e6
    tracemalloc.stop()
    small, block_group, number, weight = simulate_blocks(PEER_CELLS, PEER_GROUPS)
    ours = BlockSampler(small, saturation=saturation, seed=0)
    group_size = np.bincount(block_group, weights=number)
    cell_weight = np.repeat(weight * 200 / (group_size[block_group] + 200), number)
    p = cell_weight / cell_weight.sum()
    cumulative, rng = np.cumsum(p), np.random.default_rng(0)
    tensor = torch.from_numpy(cell_weight)
    timed = interleave(
        {
            "draw_batches_of_64": lambda step: sampler.draw(step, BATCH),
            "draw_batches_of_4096": lambda step: sampler.draw(step, 4096),
            "reweight": lambda step: sampler.cumulative_group_weights(100.0 + step),
            "ours_10_million": lambda step: ours.draw(step, BATCH),
            "numpy_choice_10_million": lambda step: rng.choice(len(p), size=BATCH, p=p),
            "torch_multinomial_10_million": lambda step: torch.multinomial(tensor, BATCH, replacement=True),
            "searchsorted_all_cells_10_million": lambda step: np.searchsorted(cumulative, rng.random(BATCH)),
        },
        repeats={
            "draw_batches_of_64": 500,
            "draw_batches_of_4096": 50,
            "reweight": 20,
            "ours_10_million": 500,
            "numpy_choice_10_million": 2,
            "torch_multinomial_10_million": 2,
            "searchsorted_all_cells_10_million": 500,
        },
    )
    draws = dict.fromkeys(timed, BATCH) | {"draw_batches_of_4096": 4096, "reweight": 1}
    for name, row in timed.items():
        row["microseconds_per_draw"] = row["seconds"] / draws[name] * 1e6
    peers = [name for name in timed if name.endswith("10_million") and name != "ours_10_million"]
    base = timed["ours_10_million"]["cpu_seconds"]
    return {
        "benchmark": "sampler",
        "simulated": {"cells": CELLS, "groups": GROUPS, "blocks": len(blocks.cells)},
        "results": timed,
        "microseconds_per_draw": timed["draw_batches_of_64"]["microseconds_per_draw"],
        "megabytes": megabytes,
        "megabytes_of_a_table_of_all_cells": CELLS * 8 / 1e6,
        "reweighting_seconds": timed["reweight"]["seconds"],
        "ratios": {name: {"times_faster_than_peer": timed[name]["cpu_seconds"] / base} for name in peers}
        | {"equal": equal_frequencies(ours, cumulative, block_group, number)},
        "targets": TARGETS,
    }


def equal_frequencies(sampler: BlockSampler, cumulative: np.ndarray, group: np.ndarray, number: np.ndarray) -> dict:
    """Compare how often two million draws of ours and of the peer hit each group."""
    starts = np.cumsum(number)
    hits = []
    for cells in (
        np.concatenate([sampler.draw(step, 100_000) for step in range(20)]),
        np.searchsorted(cumulative, np.random.default_rng(1).random(2_000_000)),
    ):
        hits.append(np.bincount(group[np.searchsorted(starts, cells, side="right")], minlength=PEER_GROUPS))
    common = (hits[0] + hits[1]) > 10
    p_value = stats.chi2_contingency(np.stack([hit[common] for hit in hits])).pvalue
    return {"p_value": float(p_value), "equal": bool(p_value > 1e-4)}
