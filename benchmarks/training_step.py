"""B3: what a training step of the paper's base costs: on one CPU thread (4 cells, fp32), and on a GPU if there is one (64, bf16).

The parts of it that are not computed as their formula reads stand beside the plain formula (`encoders`).
`python benchmarks/training_step.py [--steps 3] [--out step.json]` prints JSON; it fails where the CPU step is above its limits.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
CPU_LIMITS = {"cpu_seconds_per_step": 27.0, "peak_memory_gb": 4.9}  # of the reference with its attention dropout off
GPU_TARGETS = {"cells_per_second": 600, "model_flops_utilization": 0.25, "peak_memory_gb": 40}  # H200
DENSE_BF16_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
GENES = {"NCBITaxon:9606": 23_217, "NCBITaxon:10090": 21_700}
LABELS = {"cell_type": 700, "tissue": 300, "disease": 120, "assay": 30, "ethnicity": 30, "sex": 2, "organism": 2}


def vocabularies():
    """Return gene and label vocabularies of the paper's size."""
    import numpy as np
    import pandas as pd

    from scprint2.data.vocabulary import GeneVocabulary, LabelTable, LabelVocabulary

    frames = [
        pd.DataFrame({"organism": organism, "location": np.arange(count), "is_tf": np.arange(count) % 15 == 0})
        for organism, count in GENES.items()
    ]
    frame = pd.concat(frames, ignore_index=True)
    for column in ("gene_id", "symbol", "family"):
        frame[column] = [f"{column}{row}" for row in frame.index]
    tables = [
        LabelTable(name, tuple(f"{name}:{leaf}" for leaf in range(leaves)), (), (), {})
        for name, leaves in LABELS.items()
    ]
    return GeneVocabulary(frame), LabelVocabulary(tuple(tables))


def random_batch(labels, *, cells: int, context: int, device: str, neighbors: int = 0):
    """Return a batch of human cells, and neighbors like them, with counts of a usual sparsity."""
    import torch

    from scprint2.data.batch import CellBatch

    rng = torch.Generator().manual_seed(0)
    human = GENES["NCBITaxon:9606"]
    genes = torch.stack([torch.randperm(human, generator=rng)[:context] for _ in range(cells)])
    rate = torch.empty(cells, context).exponential_(1.0, generator=rng) * 2
    counts = torch.poisson(rate, generator=rng)
    codes = [torch.randint(len(table.leaves), (cells,), generator=rng) for table in labels.tables]
    batch = CellBatch(
        genes=genes,
        counts=counts,
        neighbor_counts=torch.poisson(rate[:, None].expand(-1, neighbors, -1), generator=rng),
        neighbor_distances=torch.rand(cells, neighbors, generator=rng),
        depth=counts.sum(1) * 2,
        labels=torch.stack(codes, dim=1),
    )
    return batch.to(device)


def paper_trainer(device: str, *, variant: str = "base"):
    """Return a trainer of a row at the paper's size (base unless said), its label vocabulary and its experiment."""
    import torch

    from scprint2.config.overlay import resolve
    from scprint2.experiment import Experiment, build
    from scprint2.training.step import Trainer, choose_numerics

    config = ROOT / "config"
    experiment = Experiment.model_validate(resolve(config, scale="paper", variant=variant))
    genes, labels = vocabularies()
    embedding = torch.randn(len(genes), experiment.model.dim, generator=torch.Generator().manual_seed(0))
    model = build(experiment, genes=genes, labels=labels, gene_embedding=embedding, seed=0)
    numerics = choose_numerics(device, precision=experiment.training.precision)
    trainer = Trainer(
        model.to(device), experiment.training, numerics=numerics, seed=0, say=lambda line: print(line, file=sys.stderr)
    )
    return trainer, labels, experiment


def measure_cpu(steps: int) -> dict:
    """Measure steps of 4 cells on one thread; run in a fresh process, whose peak memory is the model's alone."""
    import torch

    torch.set_num_threads(1)
    trainer, labels, experiment = paper_trainer("cpu")
    batch = random_batch(labels, cells=4, context=experiment.data.genes.max_genes, device="cpu")
    seconds = []
    for step in range(steps):
        begin = time.process_time()
        values = trainer.update(batch, step=step, learning_rate=1e-4)
        seconds.append(time.process_time() - begin)
        assert torch.isfinite(values).all()
    weights = list(trainer.model.model.parameters())
    return {
        "cells": 4,
        "genes": experiment.data.genes.max_genes,
        "precision": "fp32",
        "threads": 1,
        "parameters": sum(weight.numel() for weight in weights),
        "trained_parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
        "cpu_seconds_per_step": min(seconds),
        "cpu_seconds_of_all_steps": seconds,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "limits": CPU_LIMITS,
    }


def measure_gpu(steps: int) -> dict:
    """Measure steps of the full batch on the GPU, compiled, in bf16."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    trainer, labels, experiment = paper_trainer("cuda")
    cells, context = experiment.training.batch_size, experiment.data.genes.max_genes
    batch = random_batch(labels, cells=cells, context=context, device="cuda")
    for step in range(5):
        trainer.update(batch, step=step, learning_rate=1e-4)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for step in range(steps):
        values = trainer.update(batch, step=5 + step, learning_rate=1e-4)
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / steps
    assert torch.isfinite(values).all()
    with FlopCounterMode(display=False) as counter:
        counted, _, _ = paper_trainer("cpu")
        counted.update(random_batch(labels, cells=1, context=context, device="cpu"), step=0, learning_rate=1e-4)
    name = torch.cuda.get_device_name()
    peak = next((value for key, value in DENSE_BF16_FLOPS.items() if key in name), None)
    flops = counter.get_total_flops()
    return {
        "device": name,
        "cells": cells,
        "genes": context,
        "precision": "bf16",
        "seconds_per_step": seconds,
        "cells_per_second": cells / seconds,
        "minutes_per_epoch": seconds * experiment.training.steps_per_epoch / 60,
        "gigaflop_per_cell": flops / 1e9,
        "model_flops_utilization": None if peak is None else flops * cells / seconds / peak,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9,
        "targets": GPU_TARGETS,
    }


def main() -> int:
    """Run both parts, the CPU part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="CPU steps; the GPU makes ten times as many")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=["cpu", "gpu"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        measure = measure_cpu if arguments.part == "cpu" else lambda steps: measure_gpu(10 * steps)
        print(json.dumps(measure(arguments.steps)))
        return 0
    import torch

    parts = ["cpu"] + ["gpu"] * torch.cuda.is_available()
    result = {
        "benchmark": "training_step",
        "machine": platform.processor() or platform.machine(),
        "load": os.getloadavg(),
        "torch": torch.__version__,
    }
    for part in parts:
        environment = os.environ | ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if part == "cpu" else {})
        command = [sys.executable, __file__, "--part", part, "--steps", str(arguments.steps)]
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        result[part] = json.loads(run.stdout.splitlines()[-1])
    command = [sys.executable, "-m", "benchmarks", "encoders"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result |= json.loads(run.stdout)
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(any(result["cpu"][name] > limit for name, limit in CPU_LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
