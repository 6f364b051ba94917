"""B11: time and memory of finding cells that occur twice among many, by the hashes of their counts.

Random hashes in shards of a million cells; every hundredth cell repeats one of the shard before.
`python -m benchmarks.duplicates --cells 350000000 --folder DIR` takes 6 GB of disk.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.common import describe_machine
from scprint2.data.duplicates import find_repeated

CELLS, SHARD, EVERY = 20_000_000, 1_000_000, 100


def draw_hashes(cells: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the hashes of one shard after the other."""
    rng, before = np.random.default_rng(0), None
    for _ in range(cells // SHARD):
        hashes = rng.integers(0, 1 << 64, size=SHARD, dtype=np.uint64)
        if before is not None:
            hashes[::EVERY] = before[EVERY - 1 :: EVERY]
        before = hashes
        yield hashes, np.ones(SHARD, dtype=bool)


def measure(cells: int = CELLS, folder: Path | None = None) -> dict:
    """Find the repeated cells and count them."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        before, wall, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter(), time.process_time()
        found = sum(len(repeated) for repeated, _ in find_repeated(draw_hashes(cells), work, cells=cells))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    expected = (cells // SHARD - 1) * (SHARD // EVERY)
    assert found == expected, f"{found} repeated cells found, {expected} are there"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "cells": cells, "repeated": found, "seconds": round(wall, 1), "cpu_seconds": round(cpu, 1),
        "gb_before": round(before / 1e6, 2), "gb_peak": round(peak / 1e6, 2),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--folder", type=Path, help="for files of 16 bytes a cell")
    options = parser.parse_args()
    print(json.dumps({"machine": describe_machine()} | measure(options.cells, options.folder), indent=1))
