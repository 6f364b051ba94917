"""What a corpus of the paper's size costs a process: 26,332 shards opened, batches out of them, 350 million hashes compared.

One simulated shard of 500 cells is opened that many times; the kernel sees as many mappings as there would be files.
"""

import os
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from benchmarks.loader import BATCH, GENES, ORGANISM, make_loader, open_corpus, simulate_cells
from scprint2.data.corpus import Corpus
from scprint2.data.leakage import EvaluationSet, HashLookup
from scprint2.data.shard import Shard
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelTable, LabelVocabulary

SHARDS, SHARD_CELLS = 26_332, 500  # files of scBaseCount and the other sources
CELLS, TEST_CELLS, BLOCK = 350_000_000, 200_000, 10_000_000
TARGETS = {"open_files": 100, "mappings": 65_530}  # far below the usual limit of 1,024; Linux's default limit


def open_shards(folder: Path) -> Corpus:
    """Open one shard as often as the corpus has datasets."""
    shards = tuple(Shard.open(folder / "shard") for _ in range(SHARDS))
    genes = pd.DataFrame({"organism": ORGANISM, "gene_id": [f"ENSG{number:011d}" for number in range(GENES)]})
    tables = [LabelTable(name, tuple(shards[0].terms[name]), (), (), {}) for name in CLASSES]
    return Corpus("full", shards, GeneVocabulary(genes), LabelVocabulary(tuple(tables)), 0.02, {})


def own_memory(process: psutil.Process) -> int:
    """Return the bytes of a process that are not pages of files."""
    memory = process.memory_info()
    return memory.rss - memory.shared


def measure_opening() -> dict:
    """Return time, memory, mappings and open files of the corpus and its loader, and cells per second."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        open_corpus(simulate_cells(SHARD_CELLS), Path(folder))
        files, memory, begin = process.num_fds(), own_memory(process), time.process_time()
        loader = make_loader(open_shards(Path(folder)), neighbors=6)
        opened = time.process_time()
        for step in range(20):
            loader.batch(step)
        seconds = (time.process_time() - opened) / 20
        with open("/proc/self/maps") as maps:
            mappings = sum("arrays.bin" in line for line in maps)
        return {
            "shards": SHARDS,
            "cpu_seconds_to_open": opened - begin,
            "megabytes": (own_memory(process) - memory) / 1e6,
            "open_files": process.num_fds() - files,
            "mappings": mappings,
            "profiles_on_device": len(loader.space.tier),
            "collated_6_neighbors_cells_per_cpu_second": BATCH / seconds,
        }


def measure_comparison() -> dict:
    """Return time and memory of looking 350 million hashes up among those of test sets, and whether all planted are found."""
    rng = np.random.default_rng(0)
    tests = rng.integers(2**64, size=TEST_CELLS, dtype=np.uint64)
    ids = np.arange(TEST_CELLS).astype(str)
    lookup = HashLookup.build([EvaluationSet("test", ORGANISM, ids, ids, tests, np.ones(TEST_CELLS, bool))])
    corpus = rng.integers(2**64, size=BLOCK, dtype=np.uint64)
    planted = rng.choice(BLOCK, size=1000, replace=False)
    corpus[planted] = tests[:1000]
    begin, found = time.process_time(), 0
    for _ in range(CELLS // BLOCK):
        found += len(lookup.find(corpus).row)
    seconds = time.process_time() - begin
    tracemalloc.start()
    lookup.find(corpus)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "hashes": CELLS,
        "test_cells": TEST_CELLS,
        "cpu_seconds": seconds,
        "megabytes": peak / 1e6,
        "equal": found == int(np.isin(corpus, tests).sum()) * (CELLS // BLOCK) and found >= len(planted),
    }


def measure() -> dict:
    """Return both."""
    torch.set_num_threads(1)
    assert os.path.exists("/proc/self/maps"), "needs Linux"
    return {
        "benchmark": "full_corpus",
        "results": {"open": measure_opening(), "compare": measure_comparison()},
        "targets": TARGETS,
    }
