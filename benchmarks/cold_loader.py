"""Rows per second of a corpus that is not in memory: read as they come, and asked for before (`data/read_ahead.py`).

Sixty copies of the shard of `benchmarks.loader` (2.7 GB in TMPDIR, else /var/tmp, which must be on a disk). Before each round the
kernel is told to forget them, and asked how much of them it still holds.
"""

import ctypes
import gc
import mmap
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.loader import BATCH, GENES, NEIGHBORS, ORGANISM, make_loader, open_corpus, simulate_cells
from scprint2.data.corpus import Corpus
from scprint2.data.loader import WINDOW_ROWS
from scprint2.data.shard import Shard
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelTable, LabelVocabulary

SHARDS, ROUNDS = 60, 3


def make_shards(folder: Path) -> list[Path]:
    """Write the shards and bring them to the disk."""
    open_corpus(simulate_cells(), folder)
    copies = [folder / f"shard_{number}" for number in range(1, SHARDS)]
    for copy in copies:
        shutil.copytree(folder / "shard", copy)
    os.sync()
    return [folder / "shard", *copies]


def forget(folders: list[Path]) -> float:
    """Drop the files from the page cache; return the share that is still in it. Nothing may have them mapped."""
    gc.collect()
    pages = held = 0
    libc = ctypes.CDLL(None)
    for folder in folders:
        with (folder / "arrays.bin").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                view = np.frombuffer(mapped, np.uint8)
                state = np.zeros(-(-len(view) // mmap.PAGESIZE), np.uint8)
                libc.mincore(
                    ctypes.c_void_p(view.ctypes.data), ctypes.c_size_t(len(view)), ctypes.c_void_p(state.ctypes.data)
                )
                del view
        pages, held = pages + len(state), held + int((state & 1).sum())
    return held / pages


def open_all(folders: list[Path]) -> Corpus:
    """Open the shards as one corpus."""
    shards = tuple(Shard.open(folder) for folder in folders)
    genes = pd.DataFrame({"organism": ORGANISM, "gene_id": [f"ENSG{number:011d}" for number in range(GENES)]})
    tables = [LabelTable(name, tuple(shards[0].terms[name]), (), (), {}) for name in CLASSES]
    return Corpus("cold", shards, GeneVocabulary(genes), LabelVocabulary(tuple(tables)), 0.02, {})


def read_cold(folders: list[Path], *, neighbors: int, asked: bool) -> dict:
    """Read one window of rows in batches from files that are not in memory."""
    held = forget(folders)
    loader = make_loader(open_all(folders), neighbors=neighbors)
    steps = range(WINDOW_ROWS // (BATCH * (1 + neighbors)))
    begin = time.perf_counter()
    if asked:
        loader.ask(steps)
    content = [loader.read(step) for step in steps]
    seconds = time.perf_counter() - begin
    total = sum(int(ragged.cells.count.sum()) + int(ragged.neighbors.count.sum()) for ragged in content)
    rows = len(steps) * BATCH * (1 + neighbors)
    return {"rows_per_second": rows / seconds, "held_before": held, "total_counts": total}


def measure() -> dict:
    """Return rows per second with and without asking, in interleaved rounds."""
    torch.set_num_threads(1)
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        folders = make_shards(Path(folder))
        for _ in range(ROUNDS):
            for neighbors in (0, NEIGHBORS):
                for kind, asked in (("plain", False), ("asked", True)):
                    run = read_cold(folders, neighbors=neighbors, asked=asked)
                    runs.setdefault(f"{kind}_{neighbors}_neighbors", []).append(run)
    results = {
        name: {
            "rows_per_second": statistics.median(run["rows_per_second"] for run in found),
            "round_rows_per_second": [run["rows_per_second"] for run in found],
            "held_before": max(run["held_before"] for run in found),
        }
        for name, found in runs.items()
    }
    ratios = {}
    for number in (0, NEIGHBORS):
        plain, asked = f"plain_{number}_neighbors", f"asked_{number}_neighbors"
        ratios[f"{number}_neighbors"] = {
            "times_faster_than_plain": results[asked]["rows_per_second"] / results[plain]["rows_per_second"],
            "equal": len({run["total_counts"] for run in runs[plain] + runs[asked]}) == 1,
        }
    return {"benchmark": "cold_loader", "shards": SHARDS, "results": results, "ratios": ratios}
