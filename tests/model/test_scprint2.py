import dataclasses

import numpy as np
import pytest
import torch

from scprint2.experiment import build
from scprint2.model.expression_decoders import Zinb
from scprint2.model.position_encoders import sinusoids
from scprint2.model.scprint2 import requested_counts
from scprint2.model.trunk import Branch
from scprint2.training.step import Numerics, Trainer
from tests.helpers import (
    make_batch,
    make_experiment,
    make_genes,
    make_labels,
    make_model,
    make_paper_size_model,
)


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels())


def outputs_of(model, batch, **changes):
    with torch.no_grad():
        return model.model.eval()(batch, **changes)


def test_dropout_acts_in_training(batch):
    model = make_model().model.train()
    assert not torch.equal(model(batch).cell_embeddings, model(batch).cell_embeddings)


def test_outputs_do_not_depend_on_the_other_cells_of_a_batch(batch):
    model = make_model()
    whole, part = outputs_of(model, batch), outputs_of(model, batch.select(slice(1, 3)))
    assert torch.allclose(whole.cell_embeddings[1:3], part.cell_embeddings, atol=1e-5)
    assert torch.allclose(whole.expression.mean[1:3], part.expression.mean, rtol=1e-4, atol=1e-5)


def test_the_order_of_genes_does_not_matter(batch):
    model, order = make_model(), torch.randperm(batch.genes.shape[1])
    shuffled = dataclasses.replace(batch, genes=batch.genes[:, order], counts=batch.counts[:, order])
    straight, other = outputs_of(model, batch), outputs_of(model, shuffled)
    assert torch.allclose(straight.cell_embeddings, other.cell_embeddings, atol=1e-5)
    assert torch.allclose(straight.expression.mean[:, order], other.expression.mean, rtol=1e-4, atol=1e-5)


def test_a_hidden_count_is_not_seen(batch):
    model, hidden = make_model(), torch.zeros(batch.counts.shape, dtype=torch.bool)
    hidden[:, :6] = True
    changed = batch.counts.clone()
    changed[:, :6] += 50
    library = batch.counts.sum(1)
    kept = outputs_of(model, batch, hidden=hidden, library=library)
    altered = outputs_of(model, dataclasses.replace(batch, counts=changed), hidden=hidden, library=library)
    assert torch.allclose(kept.expression.mean, altered.expression.mean, rtol=1e-5)
    assert not torch.allclose(
        kept.expression.mean, outputs_of(model, batch, library=library).expression.mean, rtol=1e-3
    )


def test_padding_is_not_seen_and_gets_no_counts(batch):
    model = make_model()
    shorter = {
        "genes": batch.genes[:, :16],
        "counts": batch.counts[:, :16],
        "neighbor_counts": batch.neighbor_counts[..., :16],
    }
    short = dataclasses.replace(batch, **shorter)
    padding = torch.zeros(batch.counts.shape, dtype=torch.bool)
    padding[:, 16:] = True
    padded = dataclasses.replace(batch, padding=padding, counts=batch.counts.masked_fill(padding, 0))
    one, two = outputs_of(model, short), outputs_of(model, padded)
    assert torch.allclose(one.cell_embeddings, two.cell_embeddings, atol=1e-5)
    assert torch.allclose(one.expression.mean, two.expression.mean[:, :16], rtol=1e-4)
    assert two.expression.mean[:, 16:].max() == 0


def test_expected_counts_add_up_to_those_in_context(batch):
    output = outputs_of(make_model(), batch)
    assert torch.allclose(output.expression.mean.sum(1), batch.counts.sum(1), rtol=1e-5)
    deeper = outputs_of(make_model(), batch, depth=5 * batch.depth)
    assert torch.allclose(deeper.expression.mean.sum(1), 5 * batch.counts.sum(1), rtol=1e-5)


def test_an_empty_cell_gives_finite_outputs(batch):
    empty = dataclasses.replace(batch, counts=torch.zeros_like(batch.counts), depth=torch.zeros_like(batch.depth))
    output = outputs_of(make_model(), empty)
    assert torch.isfinite(output.expression.mean).all()
    assert torch.isfinite(output.cell_embeddings).all()
    assert torch.equal(requested_counts(empty, depth=None, library=None)[1], torch.zeros(len(empty)))


def test_decoding_reads_no_counts(batch):
    model = make_model().model.eval()
    with torch.no_grad():
        cells = model(batch).cell_embeddings
        library = batch.counts.sum(1)
        other = dataclasses.replace(batch, counts=batch.counts.flip(1))
        assert torch.equal(
            model.decode(cells, batch, library=library).mean, model.decode(cells, other, library=library).mean
        )


def test_queries_and_keys_are_those_of_the_forward_pass(batch):
    model = make_model().model.eval()
    seen = []
    for block in model.trunk.blocks:
        block.attention.register_forward_hook(lambda module, inputs, output: seen.append(module.project(inputs[0])[:2]))
    with torch.no_grad():
        model(batch)
        layers = list(model.queries_and_keys(batch))
    assert len(layers) == len(model.trunk.blocks)
    for (query, key), (full_query, full_key) in zip(layers, seen[: len(layers)], strict=True):
        assert torch.equal(query, full_query[:, :, -batch.genes.shape[1] :])
        assert torch.equal(key, full_key[:, :, -batch.genes.shape[1] :])


def test_sinusoids_match_hand_values():
    table = sinusoids(torch.tensor([0.0, 3.0]), 4)
    assert torch.equal(table[0], torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert np.allclose(table[1], [np.sin(3), np.cos(3), np.sin(3 / 100), np.cos(3 / 100)], atol=1e-6)


def test_the_decoder_is_a_perceptron_on_the_embedding_beside_the_depth():
    torch.manual_seed(0)
    decoder, genes, depth = Zinb(8), torch.randn(2, 5, 8), torch.tensor([10.0, 1000.0])
    output = decoder(genes, depth=depth, library=depth, padding=None)
    wide = torch.cat([genes, torch.log2(1 + depth)[:, None, None].expand(-1, 5, 1)], dim=-1)
    weight = torch.cat([decoder.hidden.weight, decoder.depth.weight], dim=1)
    hidden = torch.nn.functional.gelu(wide @ weight.T + decoder.hidden.bias, approximate="tanh")
    values = hidden @ decoder.output.weight.T + decoder.output.bias
    assert torch.allclose(output.mean, values[..., 0].softmax(-1) * depth[:, None], rtol=1e-4)
    assert torch.allclose(output.zero_logit, values[..., 2], atol=1e-5)


def test_the_dispersion_overflows_nowhere():
    decoder = Zinb(4)
    torch.nn.init.constant_(decoder.output.bias, 1e6)
    dispersion = decoder(torch.randn(1, 3, 4), depth=torch.ones(1), library=torch.ones(1), padding=None).dispersion
    assert torch.isfinite(dispersion).all()
    assert dispersion.max() <= np.exp(8.0) * 1.0001


def test_stochastic_depth_keeps_the_expectation_and_drops_whole_cells():
    torch.manual_seed(0)
    branch = Branch(dropout=0.0, drop_path=0.25).train()
    update = branch(torch.ones(20_000, 2, 3))
    per_cell = update.flatten(1)
    assert ((per_cell == 0).all(1) | (per_cell > 0).all(1)).all()
    assert abs(update.mean().item() - 1) < 0.02
    assert torch.equal(branch.eval()(torch.ones(3, 2, 3)), torch.ones(3, 2, 3))


def test_initial_weights_depend_on_the_seed_and_their_name_only():
    one, two = dict(make_model().named_parameters()), dict(make_model("no_classification").named_parameters())
    other = dict(make_model(seed=1).named_parameters())
    for name, parameter in one.items():
        assert torch.equal(parameter, two[name]), name
    assert not torch.equal(
        one["model.trunk.blocks.0.attention.inputs.weight"], other["model.trunk.blocks.0.attention.inputs.weight"]
    )


def test_initial_values_are_those_of_the_paper():
    parameters = dict(make_model(scale="paper").named_parameters())
    weight = parameters["model.trunk.blocks.1.mlp.0.weight"]
    assert abs(weight.std().item() - 0.02) < 0.001
    assert parameters["model.trunk.blocks.1.mlp.0.bias"].abs().max() == 0
    assert (parameters["model.trunk.norm.weight"] == 1).all()
    assert torch.allclose(parameters["model.classifier.heads.0.bias"], torch.tensor(-0.12))


def test_the_gene_table_is_not_trained():
    frozen = [name for name, parameter in make_model().named_parameters() if not parameter.requires_grad]
    assert frozen == ["model.gene_encoder.table"]


def test_a_gene_embedding_of_another_width_is_refused():
    genes = make_genes()
    with pytest.raises(ValueError, match=r"has shape \(100, 3\); the model needs \(100, 64\)"):
        build(make_experiment(), genes=genes, labels=make_labels(), gene_embedding=torch.zeros(len(genes), 3), seed=0)


def test_the_paper_size_base_has_the_parameters_of_the_paper_and_takes_a_step():
    """18.2-18.6 M with the frozen table of 44-46 k genes, about 6.85 M trained: 8 blocks of 789,760, the rest as counted here."""
    model, genes, labels = make_paper_size_model("base")
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in model.model.trunk.blocks[0].parameters()) == 789_760
    assert abs(trained / 6.85e6 - 1) < 0.02
    assert abs(total / 18.4e6 - 1) < 0.02
    batch = make_batch(genes, labels, cells=1, context=2200)
    training = make_experiment("base", scale="paper").training
    trainer = Trainer(model, training, numerics=Numerics(torch.device("cpu"), "fp32"), seed=0, say=pytest.fail)
    before = trainer.evaluate(batch, index=0)
    values = trainer.update(batch, step=0, learning_rate=training.optimizer.learning_rate)
    assert torch.isfinite(values).all()
    assert trainer.evaluate(batch, index=0)[0] < before[0]
