import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from scprint2.losses.reconstruction import mean_over, zinb_log_likelihood
from scprint2.model.outputs import ExpressionOutput


def output_of(mean, dispersion, zero_logit):
    return ExpressionOutput(*(torch.tensor([values], dtype=torch.float32) for values in (mean, dispersion, zero_logit)))


def test_likelihood_equals_scipy():
    mean, theta, logit = (
        np.array([0.3, 2.0, 7.5, 40.0]),
        np.array([0.5, 1.0, 3.0, 20.0]),
        np.array([-3.0, 0.0, 1.0, -1.0]),
    )
    counts = np.array([0, 1, 0, 55])
    inflated = 1 / (1 + np.exp(-logit))
    nb = nbinom.pmf(counts, theta, theta / (theta + mean))
    expected = np.log(inflated * (counts == 0) + (1 - inflated) * nb)
    found = zinb_log_likelihood(output_of(mean, theta, logit), torch.tensor(counts[None]).float())
    assert np.allclose(found.numpy()[0], expected, atol=1e-4)


def test_likelihood_sums_to_one():
    counts = torch.arange(0, 3000).float()[None]
    ones = torch.ones_like(counts)
    output = ExpressionOutput(mean=4 * ones, dispersion=0.7 * ones, zero_logit=-0.4 * ones)
    assert abs(zinb_log_likelihood(output, counts).double().exp().sum().item() - 1) < 1e-4


def test_without_inflation_and_with_a_large_dispersion_it_is_poisson():
    counts = torch.tensor([[0.0, 1.0, 2.0, 5.0]])
    output = output_of([2.0] * 4, [2000.0] * 4, [-30.0] * 4)
    poisson = torch.distributions.Poisson(torch.tensor(2.0)).log_prob(counts)
    assert torch.allclose(zinb_log_likelihood(output, counts), poisson, atol=5e-3)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_extreme_parameters_stay_finite_with_gradients(logit, mean):
    parameters = [torch.tensor([[value, value]], requires_grad=True) for value in (mean, np.exp(-8.0), logit)]
    value = zinb_log_likelihood(ExpressionOutput(*parameters), torch.tensor([[0.0, 3.0]]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in parameters)


def test_mean_is_over_scored_genes_that_are_not_padding():
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    scored = torch.tensor([[True, True, False], [False, True, True]])
    padding = torch.tensor([[True, False, False], [False, False, False]])
    assert mean_over(values, scored=None, padding=None) == 3.5
    assert mean_over(values, scored=scored, padding=padding) == (2.0 + 5.5) / 2
    assert mean_over(values, scored=torch.zeros_like(scored), padding=None) == 0
