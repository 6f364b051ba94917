"""B3, parts of a step that are not computed as their formula reads, beside the plain formula: counts, neighbors, depth, lookups.

Forward and backward at the paper's width and context, 4 cells, fp32, one CPU thread; lookups, which learn nothing, forward only.
"""

from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from benchmarks.common import interleave
from benchmarks.training_step import paper_trainer, random_batch
from scprint2.data.vocabulary import GeneVocabulary, LabelVocabulary
from scprint2.model.context import BuildContext
from scprint2.model.expression_decoders import Zinb
from scprint2.model.expression_encoders import DeepSet, Mlp
from scprint2.model.scprint2 import initialize

DIM, CELLS, CONTEXT, NEIGHBORS, DEVIATION = 256, 4, 2200, 6, 0.02
TARGETS = {"counts_times_faster": 3.4}


def make_module(kind: type[nn.Module]) -> nn.Module:
    """Return a module of the paper's width with initial weights."""
    context = BuildContext(DIM, GeneVocabulary(pd.DataFrame()), LabelVocabulary(()), torch.zeros(0, DIM))
    module = kind(context) if kind is not Zinb else kind(DIM)
    initialize(module, deviation=DEVIATION, seed=0)
    return module


def make_counts() -> tuple[Tensor, Tensor, Tensor]:
    """Return counts on a log scale of cells and their neighbors, most of them zero or small, and distances."""
    rng = torch.Generator().manual_seed(0)
    rate = torch.empty(CELLS, 1 + NEIGHBORS, CONTEXT).exponential_(1.0, generator=rng) * 2
    values = torch.log2(1 + torch.poisson(rate, generator=rng))
    return values[:, 0], values[:, 1:], torch.rand(CELLS, NEIGHBORS, generator=rng)


def plain_mlp(module: Mlp, center: Tensor) -> Tensor:
    """Every count through both layers."""
    return module.norm(module.output(gelu(module.input(center[..., None]))))


def plain_deep_set(module: DeepSet, center: Tensor, neighbors: Tensor, distances: Tensor) -> Tensor:
    """Eq. 1: every neighbor through both layers of phi_3, then their sum."""
    pair = torch.stack([neighbors, distances[..., None].expand_as(neighbors)], dim=-1)
    around = module.neighbors(gelu(module.neighbor(pair))).sum(dim=1)
    joint = torch.cat([gelu(module.center(center[..., None])), around], dim=-1)
    return module.norm(module.output(gelu(module.both(joint))))


def plain_decoder(module: Zinb, genes: Tensor, depth: Tensor) -> Tensor:
    """A matrix of dim + 1 columns on the output embedding beside the depth."""
    column = torch.log2(1 + depth)[:, None, None].expand(-1, genes.shape[1], 1)
    weight = torch.cat([module.hidden.weight, module.depth.weight], dim=1)
    hidden = nn.functional.linear(torch.cat([genes, column], dim=-1), weight, module.hidden.bias)
    return module.output(gelu(hidden, approximate="tanh"))


def compare(module: nn.Module, ours: Callable[[], Tensor], plain: Callable[[], Tensor], *, repeats: int) -> dict:
    """Time both with their gradient, and say how far values and gradients lie apart (relative to the largest)."""
    direction = torch.randn(ours().shape, generator=torch.Generator().manual_seed(1))

    def with_gradient(call: Callable[[], Tensor]) -> Callable[[int], list[Tensor]]:
        def run(_: int) -> list[Tensor]:
            module.zero_grad()
            values = call()
            (values * direction).sum().backward()
            return [values.detach(), *(p.grad.clone() for p in module.parameters() if p.grad is not None)]

        return run

    calls = {"ours": with_gradient(ours), "plain": with_gradient(plain)}
    pairs = zip(calls["ours"](0), calls["plain"](0), strict=True)
    difference = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
    timed: dict = interleave(calls, repeats=dict.fromkeys(calls, repeats))
    ratio = timed["plain"]["cpu_seconds"] / timed["ours"]["cpu_seconds"]
    return timed | {"times_faster": ratio, "largest_relative_difference": difference}


def measure_counts() -> dict:
    """Embed counts: each distinct one once, against all of them."""
    module, (center, neighbors, distances) = make_module(Mlp), make_counts()
    assert isinstance(module, Mlp)
    ours = lambda: module(center, neighbors, distances, hidden=None)  # noqa: E731
    return compare(module, ours, lambda: plain_mlp(module, center), repeats=5)


def measure_neighbors() -> dict:
    """Embed a cell and its neighbors: the sum before the second layer, against the sum behind it."""
    module, parts = make_module(DeepSet), make_counts()
    assert isinstance(module, DeepSet)
    return compare(module, lambda: module(*parts, hidden=None), lambda: plain_deep_set(module, *parts), repeats=1)


def measure_depth() -> dict:
    """Decode at a depth: one vector per cell, against one column more."""
    module, rng = make_module(Zinb), torch.Generator().manual_seed(0)
    assert isinstance(module, Zinb)
    genes, depth = torch.randn(CELLS, CONTEXT, DIM, generator=rng), torch.tensor([900.0, 2500.0, 6000.0, 20_000.0])
    return compare(module, lambda: module.values(genes, depth), lambda: plain_decoder(module, genes, depth), repeats=5)


def measure_lookups() -> dict:
    """Look genes and their places up for 64 cells: in the sum of both tables, against one table after the other."""
    trainer, labels, _ = paper_trainer("cpu")
    model, batch = trainer.model.model, random_batch(labels, cells=64, context=CONTEXT, device="cpu")
    calls = {
        "ours": lambda _: model.identity_tokens(batch),
        "plain": lambda _: model.gene_encoder(batch.genes) + model.position_encoder(batch.genes),
    }
    with torch.no_grad():
        timed: dict = interleave(calls, repeats=dict.fromkeys(calls, 5))
        difference = float((calls["ours"](0) - calls["plain"](0)).abs().max())
    ratio = timed["plain"]["cpu_seconds"] / timed["ours"]["cpu_seconds"]
    return timed | {"times_faster": ratio, "largest_difference": difference}


def measure() -> dict:
    """Return the four beside their plain formulas."""
    torch.set_num_threads(1)
    return {
        "benchmark": "encoders",
        "sizes": {"cells": CELLS, "genes": CONTEXT, "neighbors": NEIGHBORS, "dim": DIM},
        "counts": measure_counts(),
        "neighbors": measure_neighbors(),
        "depth": measure_depth(),
        "lookups": measure_lookups(),
        "targets": TARGETS,
    }
