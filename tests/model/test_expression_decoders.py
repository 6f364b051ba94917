import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_error

from scprint2.losses.reconstruction import Bins, Mse
from scprint2.model.expression_decoders import Bins as BinsDecoder
from scprint2.model.expression_decoders import Scalar
from scprint2.model.expression_encoders import quantile_bins
from scprint2.model.outputs import CellOutput, ExpressionOutput
from tests.helpers import first_losses, make_batch, make_genes, make_labels, make_model


@pytest.fixture
def batch():
    return make_batch(make_genes(), make_labels())


def output_of(mean, zero_logit, scored=None):
    expression = ExpressionOutput(mean=mean, dispersion=torch.ones_like(mean), zero_logit=zero_logit)
    return CellOutput(
        cell_embeddings=torch.zeros(len(mean), 1, 2),
        gene_embeddings=torch.zeros(*mean.shape, 2),
        expression=expression,
        logits={},
        divergence=torch.zeros(len(mean)),
        adversary_logits={},
        scored=scored,
    )


def set_to(decoder, *, hidden, depth, output, bias=0.0):
    """Give a decoder of width 1 its weights."""
    with torch.no_grad():
        decoder.hidden.weight.fill_(hidden)
        decoder.hidden.bias.zero_()
        decoder.depth.weight.fill_(depth)
        decoder.output.weight.copy_(torch.tensor(output)[:, None])
        decoder.output.bias.fill_(bias)
    return decoder


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0.0, [2.0, 6.0]),  # hidden -10 and 10, behind the GELU 0 and 10: shares 1 and 3 of 8 counts
        (3.0, [0.8, 7.2]),  # log2(1 + 3) = 2 adds 20: hidden 10 and 30, shares 3 and 27
    ],
)
def test_the_scalar_decoder_matches_hand_values(depth, expected):
    decoder = set_to(Scalar(1), hidden=10.0, depth=10.0, output=[math.log(3) / 10])
    genes, depth = torch.tensor([[[-1.0], [1.0]]]), torch.tensor([depth])
    result = decoder(genes, depth=depth, library=torch.tensor([8.0]), padding=None)
    assert result.mean.flatten().tolist() == pytest.approx(expected, rel=1e-5)
    assert result.dispersion.flatten().tolist() == [math.inf, math.inf]
    assert result.zero_logit.flatten().tolist() == [-math.inf, -math.inf]


def test_expected_bins_stand_for_shares_of_the_counts_by_hand():
    """Three bins. The logits of gene 1 are 0: its expected bin is 1. Gene 2: 0, 0, ln 2, so 1/4 * 1 + 1/2 * 2 = 1.25."""
    decoder = set_to(BinsDecoder(1, bins=3), hidden=10.0, depth=0.0, output=[0.0, 0.0, math.log(2) / 10])
    genes, depth = torch.tensor([[[-1.0], [1.0], [1.0]]]), torch.tensor([7.0])
    padding = torch.tensor([[False, False, True]])
    result = decoder(genes, depth=depth, library=torch.tensor([9.0]), padding=padding)
    assert result.bin_logits[0, 1].tolist() == pytest.approx([0, 0, math.log(2)], rel=1e-5)
    assert result.mean.flatten().tolist() == pytest.approx([4, 5, 0], rel=1e-5)


@pytest.mark.parametrize("variant", ["mse", "binning"])
def test_expected_counts_add_up_to_those_in_context(batch, variant):
    model = make_model(variant).model.eval()
    with torch.no_grad():
        expression = model(batch, depth=3 * batch.depth).expression
    assert torch.allclose(expression.mean.sum(1), 3 * batch.counts.sum(1), rtol=1e-5)
    assert torch.equal(expression.mean * torch.sigmoid(-expression.zero_logit), expression.mean)


def test_a_cell_of_padding_alone_gets_no_counts(batch):
    model = make_model("only_expressed").model.eval()
    padded = make_batch(make_genes(), make_labels())
    padding = torch.zeros(padded.counts.shape, dtype=torch.bool)
    padding[0] = True
    batch = type(padded)(**{**vars(padded), "padding": padding})
    loss = model(batch).expression.mean.sum() + model(batch).cell_embeddings.sum()
    loss.backward()
    assert model(batch).expression.mean[0].abs().max() == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_squared_error_by_hand():
    mean, logit = torch.tensor([[3.0, 2.0]]), torch.tensor([[-50.0, 0.0]])
    batch = make_batch(make_genes(), make_labels(), cells=1, context=2)
    batch = type(batch)(**{**vars(batch), "counts": torch.tensor([[1.0, 1.0]])})
    # log2(1 + 3) - log2(2) = 1; the second mean is halved by its zero probability: log2(2) - log2(2) = 0
    assert Mse(["seen"])({"seen": output_of(mean, logit)}, batch).item() == pytest.approx(0.5, abs=1e-6)
    scored = torch.tensor([[True, False]])
    assert Mse(["seen"])({"seen": output_of(mean, logit, scored)}, batch).item() == pytest.approx(1.0, abs=1e-6)


def test_the_squared_error_is_that_of_scikit_learn_and_torch_on_the_log_scale(batch):
    rng = torch.Generator().manual_seed(0)
    mean, logit = 10 * torch.rand(batch.counts.shape, generator=rng), torch.randn(batch.counts.shape, generator=rng)
    expected = mean.double().numpy() / (1 + np.exp(logit.double().numpy()))  # what is not inflated to zero
    logs = np.log2(1 + batch.counts.double().numpy()), np.log2(1 + expected)
    one, other = output_of(mean, logit), output_of(batch.counts, torch.full_like(mean, -100.0))
    loss = Mse(["one", "other"])({"one": one, "other": other}, batch)
    assert loss.item() == pytest.approx(mean_squared_error(*logs), rel=1e-5)
    assert loss.item() == pytest.approx(torch.nn.functional.mse_loss(*map(torch.tensor, logs)).item(), rel=1e-5)


def test_the_loss_of_bins_is_the_cross_entropy_of_torch(batch):
    model = make_model("binning").model.eval()
    output = model(batch)
    bins = quantile_bins(batch.counts, bins=51)
    log_probability = output.expression.bin_logits.log_softmax(-1).gather(2, bins[..., None])
    assert torch.allclose(Bins(["seen"])({"seen": output}, batch), -log_probability.mean(), atol=1e-5)


def test_the_loss_of_bins_needs_a_decoder_of_bins(batch):
    with pytest.raises(TypeError, match="needs the expression decoder `bins`"):
        Bins(["seen"])({"seen": make_model().model(batch)}, batch)


def test_the_squared_error_stands_beside_the_likelihood(batch):
    with_both, terms = make_model("zinb_mse")(batch, step=2, seed=0)
    _, alone = make_model("denoising")(batch, step=2, seed=0)
    assert set(terms) - set(alone) == {"squared_error"}
    assert all(torch.equal(terms[name], alone[name]) for name in alone)
    weights = {"reconstruction": 1, "generation": 1, "classification": 1, "independence": 0.1, "squared_error": 0.5}
    assert torch.allclose(with_both, sum(weights[name] * term for name, term in terms.items()))


def test_an_adapter_changes_the_first_losses():
    assert first_losses("finetuned_gene_emb") != first_losses("base")
