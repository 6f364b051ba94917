import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from scprint2.model import kernels
from scprint2.model.attention import FullConfig
from scprint2.model.kernels import FLASHES, Setting, call_flash, choose_kernel, place_kernel, preferred_backends
from scprint2.model.scprint2 import initialize

CPU = torch.device("cpu")
HOPPER = Setting("cuda", (9, 0), "bf16", (64,), ("flash-attn 3", "flash-attn 4", "flash-attn 2"), can_switch=True)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def chosen(**changes):
    return choose_kernel(replace(HOPPER, **changes))


# the choice


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "flash-attn 3"),
        ({"can_switch": False}, "flash-attn 3"),
        ({"installed": ("flash-attn 4", "flash-attn 2")}, "flash-attn 4"),
        ({"installed": ("flash-attn 4", "flash-attn 2"), "can_switch": False}, "flash-attn 2"),
        ({"installed": ("flash-attn 4", "flash-attn 2"), "head_dims": (64, 256)}, "flash-attn 2"),
        ({"capability": (10, 0)}, "flash-attn 4"),
        ({"capability": (8, 0)}, "flash-attn 2"),
        ({"capability": (8, 9), "head_dims": (32, 64)}, "flash-attn 2"),
        ({"failures": {"flash-attn 3": "does not work here"}}, "flash-attn 4"),
    ],
)
def test_the_fastest_release_that_the_gpu_runs_is_chosen(changes, name):
    kernel = chosen(**changes)
    assert (kernel.name, kernel.reason) == (name, "")
    assert kernel.line == f"attention kernel: {name}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "cpu", "capability": None}, "it needs a CUDA GPU, the model runs on cpu"),
        ({"precision": "fp32"}, "it needs half precision, the model runs in fp32"),
        ({"installed": ()}, "not installed, extras `gpu` and `fa4` bring it"),
        ({"head_dims": ()}, "the model has no full attention"),
        (
            {"capability": (7, 5), "installed": ("flash-attn 2",)},
            "flash-attn 2 needs compute capability 8.0 or more, this GPU has 7.5",
        ),
        (
            {"capability": (8, 0), "installed": ("flash-attn 3", "flash-attn 4")},
            "flash-attn 3 needs compute capability 9.0, this GPU has 8.0; "
            "flash-attn 4 needs compute capability 9.0 to 10.9, this GPU has 8.0",
        ),
        (
            {"installed": ("flash-attn 2",), "head_dims": (64, 264)},
            "flash-attn 2 takes heads of 8, 16, … 256 dimensions, here are [264]",
        ),
        (
            {"installed": ("flash-attn 2",), "head_dims": (12,)},
            "flash-attn 2 takes heads of 8, 16, … 256 dimensions, here are [12]",
        ),
        ({"installed": ("flash-attn 4",), "can_switch": False}, "flash-attn 4 needs torch 2.13 or later"),
        (
            {
                "installed": ("flash-attn 4", "flash-attn 2"),
                "failures": {"flash-attn 4": "fails", "flash-attn 2": "too"},
            },
            "flash-attn 4 fails; flash-attn 2 too",
        ),
    ],
)
def test_where_flash_attention_cannot_be_used_the_log_line_says_why(changes, reason):
    kernel = chosen(**changes)
    assert kernel.flash is None
    assert kernel.line == f"attention kernel: {kernel.name} (no flash-attn: {reason})"


def test_without_flash_attention_cudnn_comes_first_on_hopper_only():
    assert chosen(installed=()).name == "torch, cuDNN first"
    assert chosen(installed=(), precision="fp32").name == "torch, cuDNN first"
    assert {chosen(installed=(), capability=other).name for other in ((8, 0), (8, 9), (10, 0))} == {"torch"}
    assert chosen(device="cpu", capability=None).name == "torch"


def test_an_installed_release_is_found_by_its_package(monkeypatch):
    monkeypatch.setattr(kernels, "version", {"flash-attn-4": "4.0.0b4", "flashattn-hopper": "3.0.0b1"}.__getitem__)
    monkeypatch.setattr(kernels, "PackageNotFoundError", KeyError)
    setting = kernels.describe_setting((64,), device=CPU, precision="fp32")
    assert setting.installed == ("flash-attn 3", "flash-attn 4")


# bringing it in


def plain(query, key, value):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
    weights = (query.float() @ key.float().transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
    return (weights @ value.float()).to(query.dtype)


@pytest.fixture
def stand_in(monkeypatch):
    """A module in the place of flash-attn 2, and a machine that could run it; its results are what `stand_in.scale` says."""

    def function(query, key, value):
        module.calls += 1
        return module.scale * plain(*(part.transpose(1, 2) for part in (query, key, value))).transpose(1, 2)

    module = ModuleType("flash_attn")
    module.flash_attn_func, module.calls, module.scale = function, 0, 1.0
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    setting = replace(HOPPER, installed=("flash-attn 2",))
    monkeypatch.setattr(kernels, "describe_setting", lambda head_dims, **_: replace(setting, head_dims=head_dims))
    return module


def make_layer(*, head_dim=8, heads=4, kv_heads=4):
    layer = FullConfig(kind="full").build(heads * head_dim, heads=heads, kv_heads=kv_heads)
    initialize(layer, deviation=0.2, seed=0)
    return layer


def test_a_placed_kernel_is_called_in_half_precision_without_padding_and_gives_the_same(stand_in):
    layer = make_layer(kv_heads=2)
    tokens = torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(0))
    padding = torch.zeros(2, 10, dtype=torch.bool)
    whole = layer(tokens, None)
    kernel = place_kernel(nn.Sequential(layer), device=CPU, precision="bf16")
    assert kernel.line == "attention kernel: flash-attn 2"
    calls = stand_in.calls
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(tokens, None)
        assert stand_in.calls == calls + 1
        layer(tokens, padding)
    assert torch.equal(layer(tokens, None), whole)
    assert stand_in.calls == calls + 1
    assert torch.allclose(half.float(), whole, atol=0.03)


def test_a_kernel_that_gives_other_numbers_is_not_used(stand_in):
    stand_in.scale = 1.2
    layer = make_layer()
    kernel = place_kernel(layer, device=CPU, precision="bf16")
    assert layer.flash is None
    assert "flash-attn 2 does not work here (RuntimeError: its results are " in kernel.line


def test_a_kernel_that_cannot_be_imported_is_not_used(stand_in):
    del stand_in.flash_attn_func
    layer = make_layer()
    kernel = place_kernel(layer, device=CPU, precision="bf16")
    assert layer.flash is None
    assert "flash-attn 2 does not work here (AttributeError: module 'flash_attn' has no attribute" in kernel.line


@pytest.fixture
def switch(monkeypatch):
    """Torch's switch between its own kernel and flash-attn, without the kernels."""
    state = {"on": None}
    attention = kernels.torch_attention
    monkeypatch.setattr(attention, "activate_flash_attention_impl", lambda name: state.update(on=name), raising=False)
    monkeypatch.setattr(attention, "current_flash_attention_impl", lambda: state["on"], raising=False)
    monkeypatch.setattr(attention, "restore_flash_attention_impl", lambda: state.update(on=None), raising=False)
    monkeypatch.setattr(kernels, "describe_setting", lambda head_dims, **_: replace(HOPPER, head_dims=head_dims))
    return state


def test_where_torch_can_switch_its_own_attention_runs_flash_and_tries_it_first(switch):
    layer = make_layer()
    assert place_kernel(layer, device=CPU, precision="bf16").name == "flash-attn 3"
    assert switch["on"] == "FA3"
    assert layer.flash is None
    with preferred_backends(torch.device("cuda")):
        assert torch.nn.attention._cur_sdpa_kernel_backends(with_priority=True)[0] == SDPBackend.FLASH_ATTENTION


def test_a_switch_that_fails_is_put_back(switch, monkeypatch):
    def fail(*_, **__):
        raise OSError("no such instruction")

    monkeypatch.setattr(kernels, "probe", fail)
    kernel = place_kernel(make_layer(), device=CPU, precision="bf16")
    assert switch["on"] is None
    assert kernel.name == "torch, cuDNN first"
    assert "flash-attn 3 does not work here (OSError: no such instruction)" in kernel.line
    assert kernel.line.count("does not work here") == 3


def test_on_the_cpu_nothing_changes():
    layer = make_layer()
    kernel = place_kernel(layer, device=CPU, precision="fp32")
    assert layer.flash is None
    assert "the model runs on cpu" in kernel.line
    before = torch.nn.attention._cur_sdpa_kernel_backends()
    with preferred_backends(CPU):
        assert torch.nn.attention._cur_sdpa_kernel_backends() == before


def test_statistics_beside_the_result_are_left_out():
    query, key, value = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    alone = call_flash(lambda q, k, v: q + v, query, key, value)
    assert torch.equal(call_flash(lambda q, k, v: (q + v, None), query, key, value), alone)
    assert torch.equal(alone, query + value)


# on a GPU


def compare(attend, *, head_dim, kv_heads, dtype):
    """Largest difference from plain matrices in fp32 of values and gradients, relative to their largest value."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(2, heads, 200, head_dim) for heads in (4, kv_heads, kv_heads)]
    draw = [torch.randn(shape, generator=rng).to("cuda", dtype) for shape in shapes]
    results = []
    for function, parts in ((attend, draw), (plain, [part.float() for part in draw])):
        parts = [part.clone().requires_grad_() for part in parts]
        mixed = function(*parts)
        results.append([mixed, *torch.autograd.grad(mixed.float().square().sum(), parts)])
    pairs = zip(*results, strict=True)
    return max(float((one.float() - other).abs().max() / other.abs().max()) for one, other in pairs)


@GPU
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("head_dim", [16, 32, 64, 128])
@pytest.mark.parametrize("flash", FLASHES, ids=lambda flash: flash.name)
def test_flash_attention_gives_the_values_and_gradients_of_plain_matrices(flash, head_dim, kv_heads):
    setting = kernels.describe_setting((head_dim,), device=torch.device("cuda"), precision="bf16")
    if flash.name not in setting.installed:
        pytest.skip(f"{flash.name} is not installed")
    kernel = choose_kernel(replace(setting, installed=(flash.name,)))
    if kernel.flash is None:
        pytest.skip(kernel.reason)
    attend, switched = kernels.bring_in(flash, can_switch=setting.can_switch)
    if switched:
        attend = lambda *parts: scaled_dot_product_attention(*parts, enable_gqa=kv_heads < 4)  # noqa: E731
    try:
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
            assert compare(attend, head_dim=head_dim, kv_heads=kv_heads, dtype=torch.bfloat16) < 0.02
    finally:
        kernels._switch_back()


@GPU
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-3), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("head_dim", [16, 64, 128])
def test_the_preferred_backends_give_the_values_and_gradients_of_plain_matrices(head_dim, dtype, tolerance):
    with preferred_backends(torch.device("cuda")):
        assert compare(scaled_dot_product_attention, head_dim=head_dim, kv_heads=4, dtype=dtype) < tolerance


@GPU
def test_a_layer_on_the_gpu_is_that_of_the_cpu_with_the_kernel_that_was_placed():
    layer, tokens = make_layer(head_dim=64, kv_heads=2), torch.randn(2, 100, 256)
    expected = layer(tokens, None)
    layer.to("cuda")
    place_kernel(layer, device=torch.device("cuda"), precision="bf16")
    with preferred_backends(torch.device("cuda")), torch.autocast("cuda", torch.bfloat16):
        result = layer(tokens.to("cuda"), None)
    assert (result.float().cpu() - expected).abs().max() < 0.03 * expected.abs().max()
