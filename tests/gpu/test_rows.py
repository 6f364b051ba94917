"""On a GPU: what a row computes, in single and in half precision, against the CPU."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
import torch

from scprint2.training.step import Numerics, Trainer
from tests.helpers import VARIANTS, make_batch, make_experiment, make_genes, make_labels, make_model

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

GPU = torch.device("cuda")


def batch_of(variant):
    data = make_experiment(variant).data
    return data.genes.pad(make_batch(make_genes(), make_labels(), cells=8, neighbors=data.neighbors.most))


def flatten(value, name="output"):
    """Every tensor of an output by name; what is infinite or missing is left out."""
    if isinstance(value, torch.Tensor):
        return {name: value} if value.numel() and torch.isfinite(value).all() else {}
    parts = dict(value) if isinstance(value, Mapping) else {}
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    return {key: tensor for part in parts for key, tensor in flatten(parts[part], f"{name}.{part}").items()}


def apart(one, other):
    """Largest difference, relative to the largest value."""
    one, other = (tensor.detach().double().cpu() for tensor in (one, other))
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))


def make_trainer(variant, *, precision):
    """A trainer on the GPU that does not compile, and the list of what it says."""
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scprint2.training.step.compile_model", lambda model: None)
        model, training = make_model(variant).to(GPU), make_experiment(variant).training
        return Trainer(model, training, numerics=Numerics(GPU, precision), seed=0, say=said.append), said


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_gives_the_outputs_and_gradients_of_the_cpu(variant):
    """Gradients are compared as one vector: some are zero but for rounding, such as that of a bias in front of a softmax."""
    batch, outputs, gradients = batch_of(variant), [], []
    for device in ("cpu", GPU):
        model = make_model(variant).model.to(device).eval()
        output = flatten(model(batch.to(device)))
        sum(tensor.float().square().mean() for tensor in output.values() if tensor.requires_grad).backward()
        outputs.append(output)
        gradients.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    expected, found = outputs
    assert found.keys() == expected.keys()
    assert gradients[1].keys() == gradients[0].keys()
    differences = {name: apart(found[name], expected[name]) for name in expected}
    assert max(differences.values()) < 1e-3, max(differences.items(), key=lambda item: item[1])
    vectors = [torch.cat([part.flatten().cpu() for part in parts.values()]) for parts in gradients]
    assert apart(vectors[1], vectors[0]) < 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_losses_of_a_row_in_half_precision_are_those_in_single_precision(variant):
    batch = batch_of(variant).to(GPU)
    single, half = (
        make_trainer(variant, precision=precision)[0].evaluate(batch, index=0) for precision in ("fp32", "bf16")
    )
    torch.testing.assert_close(half, single, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_takes_finite_steps_downhill_in_half_precision(variant):
    trainer, said = make_trainer(variant, precision="bf16")
    batch = batch_of(variant).to(GPU)
    before = trainer.evaluate(batch, index=0)
    values = torch.stack([trainer.update(batch, step=step, learning_rate=3e-3) for step in range(5)])
    assert torch.isfinite(values).all()
    assert trainer.evaluate(batch, index=0)[0] < before[0]
    assert not said
