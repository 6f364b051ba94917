"""What every row promises, whatever fills its slots; by the listing of config/variants."""

import json

import pytest
import torch

from scprint2.data.vocabulary import CLASSES, LabelTable, LabelVocabulary
from scprint2.model.context import BuildContext
from scprint2.training.step import Numerics, Trainer
from tests.helpers import (
    ROOT,
    VARIANTS,
    build_small,
    count_parameters,
    make_batch,
    make_experiment,
    make_genes,
    make_labels,
    make_model,
    make_paper_size_model,
)


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels(), neighbors=3)


def tensors_of(output):
    """Every tensor in what a model returns."""
    for value in vars(output).values():
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from value.values()
        elif value is not None:
            yield from tensors_of(value)


# gradients


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_trained_parameter_gets_a_gradient(variant, batch):
    model = make_model(variant, data={"classes": list(make_labels().classes)})
    total, terms = model(batch, step=0, seed=0)
    total.backward()
    assert torch.isfinite(total)
    without = {
        name for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or p.grad.abs().max() == 0)
    }
    idle = {name for name in without if ".classifier." in name} if "classification" not in terms else set()
    assert without == idle


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_takes_a_finite_step_downhill(variant, batch):
    model = make_model(variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before, _ = model(batch, step=0, seed=0)
    before.backward()
    optimizer.step()
    after, _ = model(batch, step=0, seed=0)
    assert torch.isfinite(after)
    assert after < before


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_changes_what_is_trained_and_nothing_else(variant, batch):
    """Frozen tables, planes of hashes and places of genes stay as they are, bit for bit; so does what no loss reads."""
    model, experiment = make_model(variant), make_experiment(variant)
    before = {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}
    ours = Trainer(model, experiment.training, numerics=Numerics(torch.device("cpu"), "fp32"), seed=0, say=print)
    ours.update(batch, step=0, learning_rate=0.01)
    after = dict([*model.named_parameters(), *model.named_buffers()])
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if "classification" not in experiment.losses:
        trained -= {name for name in trained if ".classifier." in name}
    assert changed == trained


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_output_of_the_trunk_depends_on_every_token_but_padding(variant):
    trunk, dim = make_model(variant).model.eval().trunk, make_experiment(variant).model.dim
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 12, dim, generator=rng, requires_grad=True)
    padding = torch.arange(12) >= torch.tensor([[12], [9]])
    direction = torch.randn(dim, generator=rng)  # a plain sum of normalized tokens has no gradient
    (trunk(tokens, padding)[:, 4] @ direction).sum().backward()
    assert torch.equal(tokens.grad.abs().amax(-1) > 0, ~padding)


# evaluation


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_random_at_evaluation(variant, batch):
    model, results = make_model(variant).model.eval(), []
    decodes = make_experiment(variant).model.cell_decoder.kind != "none"
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            output = model(batch)
            decoded = tensors_of(model.decode(output.cell_embeddings, batch)) if decodes else ()
            results.append([*tensors_of(output), *decoded])
    assert len(results[0]) >= 13 + 3 * decodes
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


# sizes


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_the_recorded_parameters_at_the_size_of_the_paper(variant):
    recorded = json.loads((ROOT / "tests/golden/variants.json").read_text())[variant]["parameters_at_paper_size"]
    assert count_parameters(make_paper_size_model(variant)[0]) == recorded


@pytest.fixture
def nine_classes():
    """Labels of every class that data can have."""
    more = {"age_group": ("HsapDv:0000002", "HsapDv:0000258"), "cell_culture": ("tissue", "organoid", "cell_culture")}
    flat = [LabelTable(name=name, leaves=terms, parents=(), members=(), names={}) for name, terms in more.items()]
    labels = LabelVocabulary((*make_labels().tables, *flat))
    assert labels.classes == CLASSES
    return labels


def test_scprint2_trains_on_all_nine_classes(nine_classes):
    model = build_small(make_experiment("v2_small"), labels=nine_classes)
    batch = make_batch(make_genes(), nine_classes, neighbors=3)
    loss, terms = model(batch, step=0, seed=0)
    loss.backward()
    output = model.model(batch)
    assert output.cell_embeddings.shape[1] == 10
    assert tuple(output.logits) == CLASSES
    assert [logits.shape[1] for logits in output.logits.values()][-2:] == [2, 3]
    assert torch.isfinite(torch.stack([loss, *terms.values()])).all()
    heads, bottlenecks = model.model.classifier.heads, model.model.compressor.bottlenecks
    for part in (*heads[-2:], *bottlenecks[-2:]):
        assert all(weight.grad.abs().max() > 0 for weight in part.parameters())
    assert model.model.cell_pooling.tokens.grad.abs().amax(-1).min() > 0


@pytest.mark.parametrize(
    ("scale", "widths"),
    [("paper", (64, 32, 16, 8, 8, 2, 8, 8, 2, 256)), ("mini", (16, 16, 16, 8, 8, 2, 8, 8, 2, 64))],
)
def test_the_compressor_of_scprint2_has_the_widths_of_the_nine_classes(nine_classes, scale, widths):
    """At paper's size those of "Trunk", the free embedding as it is; of less than 8 dimensions, quantized."""
    config = make_experiment("v2_small", scale=scale).model
    context = BuildContext(
        dim=config.dim,
        genes=make_genes(),
        labels=nine_classes,
        gene_embedding=torch.zeros(len(make_genes()), config.dim),
    )
    compressor = config.compressor.build(context, dim=config.cell_pooling.dim)
    assert compressor.widths == widths
    quantized = [type(part).__name__ == "Quantized" for part in compressor.bottlenecks]
    assert dict(zip(CLASSES, quantized, strict=True)) == {name: name in ("sex", "cell_culture") for name in CLASSES}
