"""B7: a network of 4,000 genes from the paper's base, by eqs. 26 and 27: time, and memory beyond the model.

On a CPU a few cells are enough for the memory, which does not grow with them; on a GPU, if there is one, 1,024 cells are timed.
"""

import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse

from benchmarks.training_step import GENES, paper_trainer, vocabularies
from scprint2.tasks.networks import NetworkSettings, predict_networks
from scprint2.training.checkpoint import PretrainedModel

METHODS = ("mean_queries_keys", "mean_attention")
NETWORK_GENES, CPU_CELLS, GPU_CELLS, EXPRESSED = 4000, 6, 1024, 0.35
TARGETS = {"megabytes_beyond_the_model": 1000, "gpu_seconds_mean_attention": 10}


def load(device: str) -> PretrainedModel:
    """Return the paper's base with initial weights."""
    trainer, labels, experiment = paper_trainer(device)
    genes, _ = vocabularies()
    return PretrainedModel(trainer.model.model.eval(), genes, labels, experiment, {})


def make_dataset(cells: int) -> AnnData:
    """Return cells that express about a third of their genes."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2, (cells, NETWORK_GENES)) * (rng.random((cells, NETWORK_GENES)) < EXPRESSED)
    adata = AnnData(sparse.csr_matrix(counts.astype(np.int32)))
    adata.var_names = [f"gene_id{number}" for number in range(NETWORK_GENES)]
    adata.obs["organism_ontology_term_id"] = next(iter(GENES))
    return adata


def infer(pretrained: PretrainedModel, adata: AnnData, *, method: str, genes: int) -> AnnData:
    """Infer a network as `scprint2 predict` does."""
    values = {"batch_size": 64, "genes": genes, "cells": adata.n_obs, "minimum_cells": 1, "groups": "none"}
    settings = NetworkSettings.model_validate(values | {"regulator": "query", "methods": [method], "trees": 1})
    return predict_networks(pretrained, adata, settings=settings, seed=0)


def measure_cpu(method: str, cells: int = CPU_CELLS) -> dict[str, float]:
    """Return seconds per cell and by how much a network raises the peak memory of a process that holds model and cells."""
    torch.set_num_threads(1)
    pretrained, adata = load("cpu"), make_dataset(cells)
    infer(pretrained, adata[:, :16].copy(), method=method, genes=16)  # what the first pass loads
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before, begin = _kilobytes("VmRSS"), time.process_time()
    infer(pretrained, adata, method=method, genes=NETWORK_GENES)
    return {
        "cpu_seconds_per_cell": (time.process_time() - begin) / cells,
        "megabytes_beyond_the_model": (_kilobytes("VmHWM") - before) * 1024 / 1e6,
    }


def measure_gpu(method: str) -> dict[str, float]:
    """Return seconds and memory of a network of 1,024 cells on the GPU."""
    pretrained, adata = load("cuda"), make_dataset(GPU_CELLS)
    infer(pretrained, adata[:8].copy(), method=method, genes=NETWORK_GENES)
    torch.cuda.reset_peak_memory_stats()
    before, begin = torch.cuda.memory_allocated(), time.perf_counter()
    infer(pretrained, adata, method=method, genes=NETWORK_GENES)
    return {
        "seconds": time.perf_counter() - begin,
        "megabytes_beyond_the_model": (torch.cuda.max_memory_allocated() - before) / 1e6,
    }


def _kilobytes(name: str) -> int:
    """Return a line of what Linux says about this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def measure() -> dict:
    """Measure both methods, each in a process of its own."""
    found: dict = {"targets": TARGETS, "genes": NETWORK_GENES, "cpu_cells": CPU_CELLS, "gpu_cells": GPU_CELLS}
    context = multiprocessing.get_context("spawn")
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        call = measure_cpu if device == "cpu" else measure_gpu
        for method in METHODS:
            with context.Pool(1) as pool:
                found[f"{device}_{method}"] = pool.apply(call, (method,))
    return found
