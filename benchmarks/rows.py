"""What a training step of each row costs at the paper's size on a CUDA GPU: speed, memory, and which kernels compute it.

`python -m benchmarks.rows [--rows base v2_medium …] [--plain] [--steps 10]` prints a line of JSON per row, each measured in a
process of its own; `--plain` leaves the compiler out, which takes most of the time.
"""

import argparse
import json
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks.common import require_gpu
from benchmarks.training_step import paper_trainer, random_batch
from scprint2.config.overlay import list_variants

ROOT = Path(__file__).parents[1]
WARM_STEPS, STEPS = 3, 10
ERROR_CHARACTERS = 500


def measure_row(variant: str, *, plain: bool, steps: int) -> dict:
    """Return the speed and memory of a row's steps, after the first ones have compiled it and found how it fits."""
    with patch("scprint2.training.step.compile_model", lambda model: None) if plain else nullcontext():
        trainer, labels, experiment = paper_trainer("cuda", variant=variant)
    cells, genes, neighbors = experiment.training.batch_size, experiment.data.genes, experiment.data.neighbors.most
    batch = random_batch(labels, cells=cells, context=genes.max_genes, device="cuda", neighbors=neighbors)
    batch = genes.pad(batch)
    begin = time.perf_counter()
    for step in range(WARM_STEPS):
        trainer.update(batch, step=step, learning_rate=1e-4)
    torch.cuda.synchronize()
    warm = time.perf_counter() - begin
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    values = [trainer.update(batch, step=WARM_STEPS + step, learning_rate=1e-4) for step in range(steps)]
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / steps
    return {
        "row": variant,
        "device": torch.cuda.get_device_name(),
        "kernel": trainer.kernel.line,
        "compiled": trainer._compiled and not plain,
        "cells": cells,
        "genes": genes.max_genes,
        "neighbors": neighbors,
        "milliseconds_per_step": 1e3 * seconds,
        "cells_per_second": cells / seconds,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9,
        "recomputed_activations": trainer.recomputes,
        "parts_of_a_batch": trainer.micro_batches,
        "finite": bool(torch.isfinite(torch.stack(values)).all()),
        "seconds_to_warm_up": warm,
    }


def measure(rows: list[str] | None = None, *, plain: bool = True, steps: int = STEPS) -> dict:
    """Measure rows, all of them unless some are named; one that fails has the end of its error instead of numbers.

    Raises
    ------
    RuntimeError
        If there is no GPU.
    """
    require_gpu("rows")
    found = {}
    for row in rows or list(list_variants(ROOT / "config")):
        command = [sys.executable, "-m", "benchmarks.rows", "--row", row, "--steps", str(steps)] + ["--plain"] * plain
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        failed = {"row": row, "failed": run.stderr.strip()[-ERROR_CHARACTERS:]}
        found[row] = failed if run.returncode else json.loads(run.stdout.splitlines()[-1])
        print(json.dumps(found[row]), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", help="ids as in `scprint2 variants`; all unless named")
    parser.add_argument("--plain", action="store_true", help="without the compiler")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure_row(arguments.row, plain=arguments.plain, steps=arguments.steps)))
    else:
        measure(arguments.rows, plain=arguments.plain, steps=arguments.steps)
