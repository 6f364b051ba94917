"""B4: what one layer of each kind of attention costs, forward and backward; and the power of the genes by which it grows.

One cell, the paper's width and heads, fp32, one CPU thread. What grows with the square goes up to 5,000 genes, the others to
20,000. Peak memory is that of a fresh process, above what it had before.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import interleave
from scprint2.model.attention import (
    AttentionConfig,
    CrissCrossConfig,
    FullConfig,
    HyperConfig,
    MultiHead,
    SoftpickConfig,
)
from scprint2.model.scprint2 import initialize

DIM, HEADS, DEVIATION = 256, 4, 0.02
GENES = (1250, 2500, 5000, 10_000, 20_000)
MOST_OF_QUADRATIC = 5000
QUADRATIC = ("full", "softpick")
KINDS: dict[str, AttentionConfig] = {
    "full": FullConfig(kind="full"),
    "softpick": SoftpickConfig(kind="softpick"),
    "hyper": HyperConfig(kind="hyper", block=128, samples=128, projections=8),
    "criss_cross": CrissCrossConfig(kind="criss_cross", latents=10),
}
TARGETS = {"criss_cross_megabytes_per_gene": 0.03, "criss_cross_exponent_of_seconds": 1.1}


def make_layer(kind: str) -> MultiHead:
    """Return a layer with initial weights, in training."""
    layer = KINDS[kind].build(DIM, heads=HEADS, kv_heads=HEADS)
    initialize(layer, deviation=DEVIATION, seed=0)
    return layer.train()


def make_tokens(genes: int) -> torch.Tensor:
    """Return normalized tokens, as they come out of a layer norm."""
    return torch.randn(1, genes, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()


def make_pass(kind: str, genes: int) -> Callable[[int], object]:
    """Return a call that runs a layer forward and backward."""
    layer, tokens = make_layer(kind), make_tokens(genes)
    return lambda _: layer(tokens, None).sum().backward()


def peak_megabytes(kind: str, genes: int) -> float:
    """Return by how much one pass raises the peak memory of a process of its own, forked from one that has only imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.attention"])
    with context.Pool(1) as pool:
        return pool.apply(_peak_megabytes, (kind, genes))


def _peak_megabytes(kind: str, genes: int) -> float:
    torch.set_num_threads(1)
    make_pass(kind, 16)(0)  # what the first pass loads
    call = make_pass(kind, genes)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before = _kilobytes("VmHWM")
    call(0)
    return (_kilobytes("VmHWM") - before) / 1024


def _kilobytes(name: str) -> int:
    """Return a line of what Linux says about this process; `ru_maxrss` would hold the peak of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def check_equal(genes: int = 300) -> dict[str, float]:
    """Return the largest difference from a plain computation; of `hyper` where its sample holds all tokens."""
    tokens, differences = make_tokens(genes).detach(), {}
    for kind in KINDS:
        layer = make_layer(kind).eval()
        if kind == "hyper":
            layer.samples = genes  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        with torch.no_grad():
            query, key, value = layer.project(tokens)
            logits = query @ key.transpose(-1, -2) / layer.head_dim**0.5
            latent = torch.arange(genes) < 10
            if kind == "criss_cross":
                logits = logits.masked_fill(latent[:, None] == latent, -torch.inf)
            excess = logits.double().expm1()
            plain = excess.relu() / excess.abs().sum(-1, keepdim=True) if kind == "softpick" else logits.softmax(-1)
            mixed = (plain.float() @ value).transpose(1, 2).flatten(2)
            differences[kind] = float((layer(tokens, None) - layer.output(mixed)).abs().max())
    return differences


def fit_exponent(costs: dict[int, float]) -> float:
    """Return b of cost = a x genes^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)[0])


def measure() -> dict:
    """Return seconds and peak memory of each kind for each number of genes, and their growth."""
    torch.set_num_threads(1)
    results: dict[int, dict[str, dict]] = {}
    for genes in GENES:
        kinds = [kind for kind in KINDS if genes <= MOST_OF_QUADRATIC or kind not in QUADRATIC]
        timed = interleave({kind: make_pass(kind, genes) for kind in kinds}, repeats=dict.fromkeys(kinds, 1))
        for kind, row in timed.items():
            row["peak_megabytes"] = peak_megabytes(kind, genes)
            if "full" in timed:
                row["times_faster_than_full"] = timed["full"]["cpu_seconds"] / row["cpu_seconds"]
        results[genes] = timed
    exponents = {
        kind: {
            cost: fit_exponent({genes: rows[kind][cost] for genes, rows in results.items() if kind in rows})
            for cost in ("cpu_seconds", "peak_megabytes")
        }
        for kind in KINDS
    }
    return {
        "benchmark": "attention",
        "sizes": {"cells": 1, "dim": DIM, "heads": HEADS},
        "results": results,
        "exponents": exponents,
        "largest_difference_from_plain": check_equal(),
        "targets": TARGETS,
    }
