import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention.flex_attention import flex_attention

from scprint2.model import kernels
from scprint2.model.attention import SoftpickConfig
from scprint2.model.kernels import place_kernel, probe_flex
from scprint2.model.softpick import EPSILON, flex_softpick, log_excess, softpick

CPU = torch.device("cpu")
TOKENS, WIDTH = 23, 16


def plain_flex(query, key, value, *, score_mod, return_lse):
    """What FlexAttention computes, by plain matrices, which have a gradient on the CPU."""
    assert return_lse
    logits = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    places = torch.meshgrid(*(torch.arange(size) for size in logits.shape), indexing="ij")
    logits = score_mod(logits, *places)
    return logits.softmax(dim=-1) @ value, logits.logsumexp(dim=-1)


def quiet_flex(*parts, **options):
    """Torch's FlexAttention, which says of itself that it is slow where it is not compiled."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return flex_attention(*parts, **options)


def make_parts(*, scale=1.0):
    draw = torch.randn(3, 2, 2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
    draw[0] *= scale
    draw[0, 0, 0, 3] = 0.0  # all its logits are exactly 0
    draw[0, 0, 1, 5] = -10 * draw[1, 0, 1].mean(dim=0)
    return draw.unbind()


def hide(*shown):
    return torch.arange(TOKENS)[None] >= torch.tensor(shown)[:, None]


def mix(query, key, value, padding):
    logits = query @ key.transpose(-1, -2) / WIDTH**0.5
    return softpick(logits, None if padding is None else ~padding[:, None, None]) @ value


# the formula


def test_softpick_matches_hand_values():
    weights = softpick(torch.tensor([[math.log(3), math.log(2), 0.0, math.log(0.5)]]))
    assert torch.allclose(weights, torch.tensor([[2.0, 1.0, 0.0, 0.0]]) / 3.5)


def test_softpick_is_its_formula_in_double_precision():
    logits = 3 * torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(0))
    excess = np.expm1(logits.double().numpy())
    plain = np.maximum(excess, 0) / np.abs(excess).sum(-1, keepdims=True)
    np.testing.assert_allclose(softpick(logits).numpy(), plain, atol=1e-6)


def test_a_row_without_a_positive_logit_is_all_zero():
    logits = torch.tensor([[-1.0, -5.0], [-1e4, -1e4], [0.0, 0.0]], requires_grad=True)
    weights = softpick(logits)
    weights.sum().backward()
    assert weights.abs().max() == 0
    assert torch.isfinite(logits.grad).all()


def test_softpick_of_huge_logits_is_finite():
    logits = torch.tensor([[500.0, 499.0, -500.0]], requires_grad=True)
    weights = softpick(logits)
    weights[0, 0].backward()
    assert torch.allclose(weights, torch.tensor([[1.0, math.exp(-1), 0.0]]) / (1 + math.exp(-1)))
    assert torch.isfinite(logits.grad).all()


def test_softpick_has_the_gradient_of_its_formula():
    logits = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    shown = torch.tensor([[True, True, True, False, True, True]])
    assert torch.autograd.gradcheck(lambda x: softpick(x, shown), logits)


# out of FlexAttention


def test_the_logarithm_of_the_excess_is_finite_and_right():
    logits = torch.tensor([-200.0, -1.0, -1e-3, 1e-3, 1.0, 200.0, 1000.0], dtype=torch.float64)
    expected = [math.log(abs(math.expm1(x))) if x < 500 else x for x in logits.tolist()]
    np.testing.assert_allclose(log_excess(logits).numpy(), expected, rtol=1e-12, atol=1e-12)
    zero = torch.zeros(2, requires_grad=True)
    log_excess(zero).sum().backward()
    assert torch.isfinite(log_excess(zero)).all()
    assert torch.isfinite(zero.grad).all()


@pytest.mark.parametrize("flex", [plain_flex, quiet_flex])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 40.0])
@pytest.mark.parametrize("padding", [None, hide(TOKENS, 9)], ids=["all", "padding"])
def test_two_passes_of_flex_attention_are_softpick(flex, scale, padding):
    parts = make_parts(scale=scale)
    expected = mix(*parts, padding)
    found = flex_softpick(flex, *parts, padding=padding)
    # the formula adds its epsilon after it divided by the largest exponential, of which this knows nothing
    near_zero = 1e-3 if scale < 1 else 1e-5
    torch.testing.assert_close(found, expected, rtol=0, atol=near_zero * float(expected.abs().max()))
    assert found[0, 0, 3].abs().max() < 1e-12


@pytest.mark.parametrize("padding", [None, hide(TOKENS, 9)], ids=["all", "padding"])
def test_two_passes_of_flex_attention_have_the_gradient_of_softpick(padding):
    gradients = []
    for function in (mix, lambda *parts: flex_softpick(plain_flex, *parts[:3], padding=parts[3])):
        parts = [part.double().requires_grad_() for part in make_parts()]
        gradients.append(torch.autograd.grad(function(*parts, padding).square().sum(), parts))
    for expected, found in zip(*gradients, strict=True):
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=20 * EPSILON)


def test_a_layer_uses_the_flex_attention_that_it_is_given():
    layer = SoftpickConfig(kind="softpick").build(2 * WIDTH, heads=2, kv_heads=1)
    tokens = torch.randn(2, TOKENS, 2 * WIDTH, generator=torch.Generator().manual_seed(1))
    expected = layer(tokens, hide(TOKENS, 9))
    calls = []
    layer.flex = lambda *parts, **options: calls.append(options) or plain_flex(*parts, **options)
    torch.testing.assert_close(layer(tokens, hide(TOKENS, 9)), expected, rtol=1e-4, atol=1e-5)
    assert len(calls) == 2


# whether it is used


def test_the_probe_passes_what_computes_softpick_and_refuses_what_does_not():
    probe_flex(plain_flex, head_dim=16, device=CPU, dtype=torch.float32)
    probe_flex(plain_flex, head_dim=16, device=CPU, dtype=torch.bfloat16)

    def deaf(*parts, score_mod, return_lse):
        return plain_flex(*parts, score_mod=lambda logit, *places: logit, return_lse=return_lse)

    with pytest.raises(RuntimeError, match="its results are"):
        probe_flex(deaf, head_dim=16, device=CPU, dtype=torch.float32)


def make_layer():
    return SoftpickConfig(kind="softpick").build(2 * WIDTH, heads=2, kv_heads=1)


def test_on_a_cpu_softpick_goes_by_row_blocks():
    layer = make_layer()
    line = place_kernel(nn.Sequential(layer), device=CPU, precision="fp32").line
    assert line.endswith("; softpick: row blocks (FlexAttention has no gradient on cpu)")
    assert layer.flex is None


def test_a_flex_attention_that_does_not_work_is_named_and_not_used(monkeypatch):
    def no_compiler():
        raise ImportError("no C compiler")

    monkeypatch.setattr(kernels, "compiled_flex", no_compiler)
    layer = make_layer()
    said = kernels.place_flex(layer, device=torch.device("cuda"), precision="bf16")
    assert said == "row blocks (FlexAttention does not work here: ImportError: no C compiler)"
    assert layer.flex is None


def test_a_flex_attention_that_works_is_given_to_the_layers(monkeypatch):
    probed = []
    monkeypatch.setattr(kernels, "probe_flex", lambda flex, **where: probed.append(where))
    monkeypatch.setattr(kernels, "compiled_flex", lambda: plain_flex)
    layer, device = make_layer(), torch.device("cuda")
    assert kernels.place_flex(nn.Sequential(layer), device=device, precision="bf16") == "FlexAttention"
    assert layer.flex is plain_flex
    assert probed == [{"head_dim": WIDTH, "device": device, "dtype": torch.bfloat16}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_flex_attention_computes_softpick_on_a_gpu(precision):
    layer = SoftpickConfig(kind="softpick").build(128, heads=2, kv_heads=1).cuda()
    assert place_kernel(layer, device=torch.device("cuda"), precision=precision).softpick == "FlexAttention"
