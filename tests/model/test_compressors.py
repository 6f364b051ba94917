import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from scprint2.model.compressors import (
    Gaussian,
    NoneConfig,
    Quantized,
    VaeConfig,
    divergence_from_standard_normal,
    quantize,
)
from tests.helpers import make_batch, make_context, make_genes, make_labels, make_model

WIDTHS = {"cell_type": 64, "tissue": 32, "disease": 16, "assay": 8, "ethnicity": 8, "sex": 2, "organism": 8}
VALUES = [-2.5, -1.1, -0.6, -0.3, -0.1, 0.2, 0.4, 0.7, 1.3, 3.0]
# What FSQ([levels], preserve_symmetry=True) of vector-quantize-pytorch 1.32.0 makes of VALUES; it refuses two levels without the
# symmetry, and without it moves even numbers of levels (D60).
LIBRARY = {
    2: [-1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    3: [-1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0],
    4: [-1.0, -1.0, -0.3333, -0.3333, -0.3333, 0.3333, 0.3333, 0.3333, 1.0, 1.0],
    5: [-1.0, -1.0, -0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
    8: [-1.0, -0.7143, -0.4286, -0.4286, -0.1429, 0.1429, 0.4286, 0.7143, 1.0, 1.0],
}
LIBRARY_GRADIENT = [0.0266, 0.3592, 0.7116, 0.9151, 0.9901, 0.961, 0.8556, 0.6347, 0.2574, 0.0099]  # of all of them
VAE = VaeConfig(kind="vae", widths=WIDTHS, quantized_below=8, levels=2)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return VAE.build(make_context(), dim=256)


def test_no_compressor_changes_nothing():
    cells = torch.randn(3, 8, 16)
    output = NoneConfig(kind="none").build(make_context(), dim=16)(cells)
    assert output.embeddings is cells
    assert torch.equal(torch.stack(output.latents, dim=1), cells)
    assert torch.equal(output.divergence, torch.zeros(3))


def test_the_divergence_is_that_of_torch_distributions():
    mean, log_variance = torch.randn(4, 6), torch.randn(4, 6)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    assert torch.allclose(divergence_from_standard_normal(mean, log_variance), expected, rtol=1e-5, atol=1e-6)


def test_the_divergence_of_a_shift_by_one_is_half_a_nat():
    assert divergence_from_standard_normal(torch.ones(1, 3), torch.zeros(1, 3)) == 1.5
    assert divergence_from_standard_normal(torch.zeros(1, 3), torch.zeros(1, 3)) == 0


def test_two_levels_are_minus_one_and_one():
    values = torch.tensor([-30.0, -0.1, 0.1, 30.0])
    assert torch.allclose(quantize(values, levels=2), torch.tensor([-1.0, -1.0, 1.0, 1.0]))


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_quantization_takes_the_nearest_level(levels):
    values = torch.randn(200)
    grid = torch.linspace(-1, 1, levels)
    nearest = grid[(torch.tanh(values)[:, None] - grid).abs().argmin(1)]
    assert torch.allclose(quantize(values, levels=levels), nearest, atol=1e-6)


def test_the_gradient_of_quantization_is_that_of_tanh():
    values = torch.randn(50, requires_grad=True)
    quantize(values, levels=2).sum().backward()
    assert torch.allclose(values.grad, 1 - torch.tanh(values.detach()) ** 2)


@pytest.mark.parametrize("levels", LIBRARY)
def test_quantization_is_that_of_vector_quantize_pytorch(levels):
    values = torch.tensor(VALUES, requires_grad=True)
    quantized = quantize(values, levels=levels)
    quantized.sum().backward()
    assert quantized.tolist() == pytest.approx(LIBRARY[levels], abs=1e-4)
    assert values.grad.tolist() == pytest.approx(LIBRARY_GRADIENT, abs=1e-4)


@pytest.mark.parametrize("levels", [3, 5, 7, 9])
def test_quantization_to_an_odd_number_of_levels_is_the_formula_of_its_paper(levels):
    """Mentzer et al. 2023: round(floor(L / 2) tanh(z)), here divided by floor(L / 2)."""
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    half = levels // 2
    expected = np.round(half * np.tanh(values.double().numpy())) / half
    np.testing.assert_allclose(quantize(values, levels=levels).numpy(), expected, atol=1e-6)


def test_at_the_size_of_the_paper_the_latents_have_its_widths_and_the_free_embedding_none(vae):
    cells = torch.randn(3, 8, 256)
    output = vae(cells)
    assert [latent.shape[1] for latent in output.latents] == [*WIDTHS.values(), 256]
    assert tuple(vae.widths) == (*WIDTHS.values(), 256)
    assert torch.equal(output.embeddings[:, -1], cells[:, -1])
    assert [type(part) for part in vae.bottlenecks] == [*[Gaussian] * 5, Quantized, Gaussian]


def test_at_small_sizes_a_latent_is_a_quarter_of_the_embedding():
    assert VAE.build(make_context(), dim=64).widths == (16, 16, 16, 8, 8, 2, 8, 64)


def test_training_draws_around_the_mean_that_evaluation_takes(vae):
    part, embedding = vae.bottlenecks[0], torch.randn(1, 256)
    mean, log_variance = part.down(embedding).chunk(2, dim=-1)
    torch.manual_seed(1)
    _, draws, _ = part.train()(embedding.expand(20_000, -1))
    assert torch.allclose(draws.mean(0), mean[0], atol=0.05)
    assert torch.allclose(draws.var(0), log_variance[0].exp(), rtol=0.1)
    _, latent, _ = part.eval()(embedding)
    assert torch.allclose(latent, mean, atol=1e-6)


def test_nothing_is_random_at_evaluation(vae):
    cells = torch.randn(3, 8, 256)
    assert torch.equal(vae.eval()(cells).embeddings, vae(cells).embeddings)
    assert not torch.equal(vae.train()(cells).embeddings, vae(cells).embeddings)


def test_the_divergence_is_summed_over_classes_and_quantized_ones_add_none(vae):
    cells = torch.randn(3, 8, 256)
    expected = sum(part(cells[:, index])[2] for index, part in enumerate(vae.bottlenecks) if isinstance(part, Gaussian))
    assert torch.allclose(vae(cells).divergence, expected, rtol=1e-5)


def test_an_extreme_variance_stays_finite(vae):
    part = vae.bottlenecks[0]
    torch.nn.init.constant_(part.down[-1].bias, 1e6)
    assert all(torch.isfinite(value).all() for value in part.train()(torch.randn(2, 256)))


def test_a_class_without_a_width_is_refused():
    config = VAE.model_copy(update={"widths": {"cell_type": 64}})
    with pytest.raises(ValueError, match=r"no width for the classes \['tissue'"):
        config.build(make_context(), dim=256)


def test_classes_are_told_from_the_latents():
    model = make_model("vae").model.eval()
    batch = make_batch(make_genes(), make_labels())
    with torch.no_grad():
        cells, _ = model.cell_pooling.encode(model.gene_tokens(batch), trunk=model.trunk, padding=None)
        latents = model.compressor(cells).latents
        logits = model(batch).logits
    assert torch.allclose(logits["sex"], model.classifier.heads[5](latents[5]), atol=1e-6)
    assert latents[5].shape == (len(batch), 2)
