"""What the targets for a GPU rest on: kernels of attention, a plain step, a loop fed from the disk, batches, and embedding.

It needs a CUDA GPU. The compiled step and networks are measured by `training_step` and `networks`, which have a part for GPUs.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.common import require_gpu
from benchmarks.loader import BATCH, NEIGHBORS, ORGANISM, make_loader, open_corpus, simulate_cells
from benchmarks.training_step import GENES, LABELS, paper_trainer, random_batch, vocabularies
from scprint2.config.overlay import resolve
from scprint2.data.corpus import Corpus
from scprint2.data.gene_embeddings import gene_embedding
from scprint2.experiment import Experiment
from scprint2.tasks.embed import EmbedSettings, predict_embedding
from scprint2.training import loop
from scprint2.training.checkpoint import PretrainedModel

CONFIG = Path(__file__).parents[1] / "config"
HEADS, HEAD_DIM, TOKENS = 4, 64, (2208, 2304)  # 2,200 genes and 8 cell tokens; the next multiple of 128
BACKENDS = ("CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
FED_STEPS, EMBEDDED = 200, 4096
TARGETS = {
    "attention_tflops": 350,
    "fed_cells_per_second": 600,
    "embedded_cells_per_second": 3500,
}  # H200; `training_step` has those of a step


def time_calls(call: Callable[[], object], *, calls: int = 20) -> float:
    """Return seconds per call, by events on the device, after five calls to warm up."""
    for _ in range(5):
        call()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()  # pyright: ignore[reportCallIssue]
    for _ in range(calls):
        call()
    end.record()  # pyright: ignore[reportCallIssue]
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def measure_attention() -> dict[str, dict]:
    """Return TFLOP/s, forward and backward, of each backend of torch's attention at the size of a training step."""
    found = {}
    for tokens in TOKENS:
        parts = [
            torch.randn(BATCH, HEADS, tokens, HEAD_DIM, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            for _ in range(3)
        ]
        flops = 3.5 * 4 * BATCH * HEADS * tokens**2 * HEAD_DIM
        gradient = torch.randn_like(parts[0])
        for name in BACKENDS:
            try:
                with sdpa_kernel([getattr(SDPBackend, name)]):
                    seconds = time_calls(lambda p=parts, g=gradient: scaled_dot_product_attention(*p).backward(g))
            except RuntimeError as error:
                found[f"{name.lower()}_{tokens}"] = str(error).splitlines()[0]
                continue
            found[f"{name.lower()}_{tokens}"] = {"milliseconds": 1e3 * seconds, "tflops": flops / seconds / 1e12}
    return found


def measure_steps() -> dict[str, dict]:
    """Return what a step costs without the compiler; `training_step` measures the compiled one."""
    with patch("scprint2.training.step.compile_model", lambda model: None):
        trainer, labels, experiment = paper_trainer("cuda")
    batch = random_batch(labels, cells=BATCH, context=experiment.data.genes.max_genes, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    seconds = time_calls(lambda: trainer.update(batch, step=0, learning_rate=1e-4), calls=5)
    return {
        "milliseconds": 1e3 * seconds,
        "cells_per_second": BATCH / seconds,
        "peak_memory_gb": torch.cuda.max_memory_allocated() / 1e9,
    }


def labeled_cells(cells: int) -> anndata.AnnData:
    """Return simulated cells that have a label in every class; few different ones, so that validation gets cells of each."""
    rng, adata = np.random.default_rng(1), simulate_cells(cells)
    for name in LABELS.keys() - {"cell_type", "organism"}:
        adata.obs[f"{name}_ontology_term_id"] = f"{name}:0"
    adata.obs["assay_ontology_term_id"] = rng.choice(["assay:0", "assay:1"], size=cells)
    adata.obs["organism_ontology_term_id"] = ORGANISM
    return adata


def measure_fed(corpus: Corpus, folder: Path) -> dict[str, float]:
    """Return cells per second of the loop itself, with cells read from the disk by two threads."""
    tree = resolve(CONFIG, scale="paper", variant="base")
    tree["training"] |= {"steps_per_epoch": FED_STEPS, "epochs": 2, "validation_batches": 5}
    experiment = Experiment.model_validate(tree)
    embedding = gene_embedding(corpus.genes, table=None, dim=experiment.model.dim, seed=0)
    paths = {"work": folder / "work", "out": folder / "model"}
    loop.pretrain(experiment, corpus, seed=0, gene_embedding=embedding, device="cuda", **paths)
    cost = json.loads((folder / "model" / "cost.json").read_text())
    history = pd.read_csv(folder / "model" / "history.csv").query("split == 'train' and epoch == 2")
    rise = history[["step", "seconds"]].iloc[-1] - history[["step", "seconds"]].iloc[0]
    return {
        "cells_per_second_of_the_second_epoch": BATCH * rise["step"] / rise["seconds"],
        "cells_per_second_with_compilation": cost["cells_per_second"],
        "peak_gpu_memory_gb": cost["peak_gpu_memory_bytes"] / 1e9,
        "joules_per_cell": (cost["energy_joules"] or float("nan")) / cost["cells"],
        "energy_source": cost["energy_source"],
    }


def measure_batches(corpus: Corpus) -> dict[str, float]:
    """Return milliseconds that a batch with neighbors takes to read on one thread, and to be made on the device."""
    loader = make_loader(corpus, neighbors=NEIGHBORS, device="cuda")
    ragged = [loader.read(step) for step in range(4)]
    begin = time.perf_counter()
    for step in range(10, 20):
        loader.read(step)
    read = (time.perf_counter() - begin) / 10
    made = time_calls(lambda: [loader.collate(part, 0) for part in ragged], calls=10) / len(ragged)
    return {"read_milliseconds": 1e3 * read, "made_milliseconds": 1e3 * made}


def measure_embedding(adata: anndata.AnnData) -> dict[str, float]:
    """Return cells per second that are embedded, from counts in memory to vectors in memory."""
    trainer, labels, experiment = paper_trainer("cuda")
    genes, _ = vocabularies()
    pretrained = PretrainedModel(trainer.model.model.eval(), genes, labels, experiment, {})
    adata = adata[:EMBEDDED].copy()
    adata.var_names = [f"gene_id{number}" for number in range(adata.n_vars)]
    adata.obs["organism_ontology_term_id"] = next(iter(GENES))
    adata.obs["batch"] = "one"
    values = {"batch_size": 256, "cells": EMBEDDED, "max_genes": 2200, "kinds": ["cell_type"]}
    settings = EmbedSettings.model_validate(values)
    predict_embedding(pretrained, adata[:256].copy(), settings=settings, seed=0)
    begin = time.perf_counter()
    predict_embedding(pretrained, adata, settings=settings, seed=0)
    return {"cells_per_second": EMBEDDED / (time.perf_counter() - begin)}


def measure() -> dict:
    """Measure all, the small things first.

    Raises
    ------
    RuntimeError
        If there is no GPU.
    """
    require_gpu("gpu")
    found: dict = {"device": torch.cuda.get_device_name(), "targets": TARGETS, "attention": measure_attention()}
    found["step_without_compiler"] = measure_steps()
    with tempfile.TemporaryDirectory() as folder:
        adata = labeled_cells(8000)
        corpus = open_corpus(adata, Path(folder))
        found["batches"] = measure_batches(corpus)
        found["embedding"] = measure_embedding(adata)
        found["fed_by_the_loader"] = measure_fed(corpus, Path(folder))
    return found
