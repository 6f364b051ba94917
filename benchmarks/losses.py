"""B4: losses, forward and backward: the hierarchical loss beside algorithm 3 label by label, ZINB beside torch.distributions.

One CPU thread, fp32. The ontology is a random tree of the size of CELLxGENE's cell types.
"""

import numpy as np
import torch
from torch import Tensor
from torch.distributions import NegativeBinomial
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from benchmarks.common import interleave
from benchmarks.encoders import measure_neighbors
from scprint2.data.vocabulary import LabelTable
from scprint2.losses.classification import HierarchicalTable
from scprint2.losses.reconstruction import zinb_log_likelihood
from scprint2.model.outputs import ExpressionOutput

CELLS, LEAVES, PARENTS, CONTEXT = 64, 500, 300, 2200
TARGETS = {"hierarchical_seconds": 0.005, "hierarchical_times_faster": 100, "error": 1e-6}


def simulate_ontology() -> LabelTable:
    """Return a random tree: parts of the leaves are split until there are enough parents."""
    rng = np.random.default_rng(0)
    waiting, members = [tuple(range(LEAVES))], []
    while waiting and len(members) < PARENTS:
        leaves = waiting.pop(int(rng.integers(len(waiting))))
        members.append(leaves)
        cut = int(rng.integers(1, len(leaves)))
        waiting += [part for part in (leaves[:cut], leaves[cut:]) if len(part) > 1]
    terms = [f"CL:{number}" for number in range(LEAVES + PARENTS)]
    return LabelTable("cell_type", tuple(terms[:LEAVES]), tuple(terms[LEAVES:]), tuple(members), {})


def per_label(table: LabelTable, logits: Tensor, labels: Tensor) -> Tensor:
    """Algorithm 3 as it reads: cell by cell, a logsumexp for every ancestor of its label (D32)."""
    sets = [{leaf} for leaf in range(LEAVES)] + [set(leaves) for leaves in table.members]
    total = logits.new_zeros(())
    for scores, label in zip(logits, labels.tolist(), strict=True):
        own = sets[label]
        target = torch.tensor([float(label < LEAVES and leaf in own) for leaf in range(LEAVES)])
        weight = torch.tensor([float(label < LEAVES or leaf not in own) for leaf in range(LEAVES)])
        total = total + binary_cross_entropy_with_logits(scores, target, weight=weight, reduction="sum")
        for leaves in table.members:
            parent = torch.logsumexp(scores[list(leaves)], dim=0)
            if own <= set(leaves):
                total = total + softplus(-parent) / len(leaves) ** 0.5
    return total / (len(logits) * (LEAVES + PARENTS))


def per_parent(table: LabelTable, plain: HierarchicalTable, logits: Tensor, labels: Tensor) -> Tensor:
    """A logsumexp for each parent over all cells at once, targets and weights from the table that ours has."""
    parents = [torch.logsumexp(logits[:, list(leaves)], dim=1) for leaves in table.members]
    both = torch.cat([logits, torch.stack(parents, dim=1)], dim=1)
    return binary_cross_entropy_with_logits(both, plain.targets[labels], weight=plain.weights[labels])


def measure_hierarchical() -> dict:
    """Time the loss of 64 cells with labels at all levels."""
    table = simulate_ontology()
    ours = HierarchicalTable(table, "ignored")
    rng = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(CELLS, LEAVES, generator=rng)).requires_grad_()
    labels = torch.randint(LEAVES + PARENTS, (CELLS,), generator=rng)
    losses = {
        "ours": lambda: ours(logits, labels),
        "per_label": lambda: per_label(table, logits, labels),
        "per_parent": lambda: per_parent(table, ours, logits, labels),
    }

    def gradient(name: str) -> tuple[Tensor, Tensor]:
        loss = losses[name]()
        return loss.detach(), torch.autograd.grad(loss, logits)[0]

    value, slope = gradient("ours")
    errors = {
        name: {"loss": float((other - value).abs()), "gradient": float((around - slope).abs().max())}
        for name, (other, around) in ((name, gradient(name)) for name in losses if name != "ours")
    }
    calls = {name: lambda _, name=name: gradient(name) for name in losses}
    timed: dict = interleave(calls, repeats={"ours": 50, "per_label": 1, "per_parent": 3})
    ratios = {name: timed[name]["cpu_seconds"] / timed["ours"]["cpu_seconds"] for name in errors}
    return timed | {"loss": float(value), "times_faster_than": ratios, "difference_from": errors}


def zinb_of_torch(output: ExpressionOutput, counts: Tensor) -> Tensor:
    """The mixture of eq. 10 with the negative binomial of torch.distributions."""
    logits = (output.mean / output.dispersion).log()
    negative_binomial = NegativeBinomial(output.dispersion, logits=logits, validate_args=False).log_prob(counts)
    expressed = negative_binomial - softplus(output.zero_logit)
    inflated = torch.logaddexp(expressed, -softplus(-output.zero_logit))
    return torch.where(counts == 0, inflated, expressed)


def measure_zinb() -> dict:
    """Time the likelihood of 64 cells x 2,200 genes."""
    rng = torch.Generator().manual_seed(0)
    shape = (CELLS, CONTEXT)
    counts = torch.poisson(2 * torch.empty(shape).exponential_(1.0, generator=rng), generator=rng)
    mean, dispersion = ((torch.randn(shape, generator=rng)).exp().requires_grad_() for _ in range(2))
    output = ExpressionOutput(mean, dispersion, torch.randn(shape, generator=rng).requires_grad_())
    parts = (output.mean, output.dispersion, output.zero_logit)

    def gradient(function) -> list[Tensor]:
        values = function(output, counts)
        return [values.detach(), *torch.autograd.grad(values.mean(), parts)]

    functions = {"ours": zinb_log_likelihood, "torch_distributions": zinb_of_torch}
    pairs = zip(*(gradient(function) for function in functions.values()), strict=True)
    difference = max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs)
    calls = {name: lambda _, function=function: gradient(function) for name, function in functions.items()}
    timed: dict = interleave(calls, repeats=dict.fromkeys(calls, 3))
    ratio = timed["torch_distributions"]["cpu_seconds"] / timed["ours"]["cpu_seconds"]
    return timed | {"times_faster": ratio, "largest_relative_difference": difference}


def measure() -> dict:
    """Return both losses, and the sum over neighbors, beside their plain formulas."""
    torch.set_num_threads(1)
    return {
        "benchmark": "losses",
        "sizes": {"cells": CELLS, "leaves": LEAVES, "parents": PARENTS, "genes": CONTEXT},
        "hierarchical": measure_hierarchical(),
        "zinb": measure_zinb(),
        "neighbors": measure_neighbors(),
        "targets": TARGETS,
    }
