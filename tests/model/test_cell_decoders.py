import dataclasses
import math

import pytest
import torch

from scprint2.config.checks import check_experiment
from scprint2.config.overlay import resolve
from scprint2.model.cell_decoders import DecodingParts, MvcConfig
from tests.helpers import CONFIG, make_batch, make_context, make_genes, make_labels, make_model


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels())


@pytest.fixture
def mvc():
    torch.manual_seed(0)
    module = MvcConfig(kind="mvc").build(make_context(), dim=8)
    torch.nn.init.normal_(module.projections, std=0.2)
    return module


def decode(decoder, cells, genes, *, padding=None):
    model, ones = make_model("mvc").model, torch.ones(len(cells))
    parts = DecodingParts(pooling=model.cell_pooling, trunk=model.trunk, expression=model.expression_decoder)
    return decoder(cells, genes, depth=1000 * ones, library=500 * ones, padding=padding, parts=parts)


def test_each_parameter_is_an_inner_product_of_cell_and_gene(mvc):
    cells, genes = torch.randn(2, 3, 8), torch.randn(2, 5, 16)
    output = decode(mvc, cells, genes)
    share, log_dispersion, zero_logit = (
        torch.tensor([[torch.dot(w @ genes[i, j], cells[i].mean(0)) for j in range(5)] for i in range(2)])
        for w in mvc.projections.detach()
    )
    assert torch.allclose(output.mean, 500 * share.softmax(-1), rtol=1e-4)
    assert torch.allclose(output.dispersion, torch.exp(8 * torch.tanh(log_dispersion / 8)), rtol=1e-4)
    assert torch.allclose(output.zero_logit, zero_logit, atol=1e-4)


def test_mvc_matches_hand_values():
    """Width 1; the mean of the cell's two embeddings is 2."""
    decoder = MvcConfig(kind="mvc").build(make_context(dim=1), dim=1)
    with torch.no_grad():
        decoder.projections.copy_(torch.tensor([math.log(3) / 2, 4.0, -0.5])[:, None, None])
        output = decode(decoder, torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[1.0], [2.0]]]))
    # share of gene 1: exp(ln 3 / 2 * 1 * 2) = 3, of gene 2: 9; of 500 counts
    assert output.mean.flatten().tolist() == pytest.approx([125, 375], rel=1e-5)
    # log-dispersions 8 and 16, bounded by 8: exp(8 tanh(1)), exp(8 tanh(2))
    assert output.dispersion.flatten().tolist() == pytest.approx([442.639, 2235.50], rel=1e-4)
    assert output.zero_logit.flatten().tolist() == pytest.approx([-1, -2])


def test_a_cell_of_zeros_expects_the_same_of_every_gene(mvc):
    output = decode(mvc, torch.zeros(2, 3, 8), torch.randn(2, 5, 16))
    assert torch.allclose(output.mean, torch.full((2, 5), 100.0))
    assert torch.equal(output.dispersion, torch.ones(2, 5))


def test_padding_gets_no_counts(mvc):
    padding = torch.tensor([[False] * 3 + [True] * 2] * 2)
    output = decode(mvc, torch.randn(2, 3, 8), torch.randn(2, 5, 16), padding=padding)
    assert output.mean[:, 3:].max() == 0
    assert torch.allclose(output.mean.sum(1), torch.tensor(500.0))


def test_all_cell_embeddings_and_all_projections_are_trained(mvc):
    cells = torch.randn(2, 3, 8, requires_grad=True)
    output = decode(mvc, cells, torch.randn(2, 5, 16))
    (output.mean.log().sum(0)[0] + output.dispersion.sum() + output.zero_logit.sum()).backward()
    assert (cells.grad.abs().amax(-1) > 0).all()
    assert (mvc.projections.grad.abs().amax((1, 2)) > 0).all()


def test_no_gene_starts_with_nearly_all_the_counts(batch):
    model = make_model("mvc").model.eval()
    mean = model.decode(model(batch).cell_embeddings, batch).mean
    assert (mean.max(1).values < 0.5 * mean.sum(1)).all()


def test_mvc_reads_no_counts(batch):
    model = make_model("mvc").model.eval()
    cells, library = model(batch).cell_embeddings, batch.counts.sum(1)
    other = dataclasses.replace(batch, counts=batch.counts.flip(1))
    assert torch.equal(
        model.decode(cells, batch, library=library).mean, model.decode(cells, other, library=library).mean
    )


def test_a_model_without_decoder_says_so(batch):
    model = make_model("no_decoder").model.eval()
    with pytest.raises(ValueError, match="this model has no cell decoder"):
        model.decode(model(batch).cell_embeddings, batch)


def test_a_view_that_decodes_needs_a_decoder():
    tree = resolve(CONFIG, scale="mini", variant="base")
    tree["model"] = {**tree["model"], "cell_decoder": {"kind": "none"}}
    with pytest.raises(ValueError, match="view 'generated' decodes cell embeddings, but model.cell_decoder is none"):
        check_experiment(tree, name="mine")
