"""Hyper-attention by hand, and in a model that has more tokens than a block and a sample hold."""

import dataclasses

import pytest
import torch

from scprint2.experiment import Experiment
from scprint2.model.attention import HyperConfig
from tests.helpers import build_small, make_batch, make_experiment, make_genes, make_labels

GENES = 60
SMALL = {"kind": "hyper", "block": 8, "samples": 8, "projections": 4}


def make_small(attention=SMALL):
    """The row's model with another attention."""
    tree = make_experiment("hyper").model_dump()
    tree["model"]["trunk"]["attention"] = attention
    return build_small(Experiment.model_validate(tree))


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels(), context=GENES)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        # Hashed by their sign, the keys lie in the order -1, -3 | 2, 4. All queries are 0: they stay in their own order, two to a
        # block, and take the mean. The first sampled place is 0, token -1. It is in the first block already: (-1 - 3) / 2. For
        # the second block it stands for both keys outside: (2 + 4 - 2 * 1) / 4.
        (1, [-2.0, -2.0, 1.0, 1.0]),
        # The second sampled place is 2, token 2, which stands for the second block in the first: (-1 - 3 + 2 * 2) / 4.
        (2, [0.0, 0.0, 1.0, 1.0]),
        # All: the plain mean.
        (4, [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_hyper_attention_matches_hand_values(samples, expected):
    """Width 1, blocks of two, one plane; keys and values are the tokens."""
    config = HyperConfig(kind="hyper", block=2, samples=samples, projections=1)
    layer = config.build(1, heads=1, kv_heads=1).eval()
    with torch.no_grad():
        layer.planes.fill_(1.0)
        layer.inputs.weight.copy_(torch.tensor([[0.0], [1.0], [1.0]]))
        layer.output.weight.fill_(1.0)
        for linear in (layer.inputs, layer.output):
            linear.bias.zero_()
        result = layer(torch.tensor([[[-1.0], [2.0], [-3.0], [4.0]]]), None)
    assert torch.allclose(result.flatten(), torch.tensor(expected), atol=1e-6)


def test_a_step_of_the_model_is_finite_and_trains_every_layer(batch):
    model = make_small()
    total, terms = model(batch, step=0, seed=0)
    total.backward()
    assert torch.isfinite(torch.stack([total, *terms.values()])).all()
    for block in model.model.trunk.blocks:
        assert all(torch.isfinite(weight.grad).all() for weight in block.parameters())
        assert all(weight.grad.abs().max() > 0 for weight in block.attention.parameters())


def test_the_sample_is_drawn_in_training_and_fixed_at_evaluation(batch):
    model, layers = make_small().model, []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for block in model.trunk.blocks:
        block.branch.drop_path = 0.0
        layers.append(block.attention)
    with torch.no_grad():
        drawn = [model.train()(batch).cell_embeddings for _ in range(2)]
        fixed = [model.eval()(batch) for _ in range(2)]
    assert not torch.equal(*drawn), "the sample alone is left to chance"
    assert torch.equal(fixed[0].cell_embeddings, fixed[1].cell_embeddings)
    assert torch.equal(fixed[0].expression.mean, fixed[1].expression.mean)


def test_the_model_sees_no_padding(batch):
    model, shown = make_small().model.eval(), 43
    kept = {name: getattr(batch, name)[..., :shown] for name in ("genes", "counts", "neighbor_counts")}
    padding = torch.arange(GENES).expand(len(batch), -1) >= shown
    padded = dataclasses.replace(batch, padding=padding, counts=batch.counts.masked_fill(padding, 0))
    with torch.no_grad():
        one, two = model(dataclasses.replace(batch, **kept)), model(padded)
    assert torch.allclose(one.cell_embeddings, two.cell_embeddings, atol=1e-5)
    assert torch.allclose(one.expression.mean, two.expression.mean[:, :shown], rtol=1e-4, atol=1e-6)
    assert two.expression.mean[:, shown:].abs().max() == 0


def test_the_model_differs_from_full_attention_until_all_is_sampled(batch):
    """The weights are the same: they depend on their names."""
    everything = SMALL | {"samples": 128}
    with torch.no_grad():
        full, estimate, exact = (
            make_small(attention).model.eval()(batch).cell_embeddings
            for attention in ({"kind": "full"}, SMALL, everything)
        )
    assert torch.allclose(exact, full, atol=1e-4)
    assert (estimate - full).abs().max() > 10 * (exact - full).abs().max()
    assert (estimate - full).abs().max() > 1e-3
