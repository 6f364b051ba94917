"""Which kernel computes full attention: flash-attn where it is installed and the GPU can run it, else what torch has.

All compute eq. 2 and differ in rounding only, so the choice belongs to the hardware and not to the experiment.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import attention as torch_attention
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

HALF = (torch.float16, torch.bfloat16)
HEAD_DIM_STEP = 8  # flash-attn reads 16 bytes at a time
HOPPER = (9, 0)
NOT_INSTALLED = "not installed, extras `gpu` and `fa4` bring it"
REST = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
FLASH_FIRST = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, *REST]
CUDNN_FIRST = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, *REST]  # about 90 % of flash-attn 3 on Hopper
PROBE_TOLERANCE = 0.05  # bf16 has 8 bits; values and gradients of the probe are about 1

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Flash:
    """A release of flash-attn, and the widest heads that it takes.

    Attributes
    ----------
    least, most
        Compute capabilities of the GPUs that it runs on; None for any later one.
    packages
        Names under which it may be installed.
    switch
        Its name in torch 2.13 and later, which can put it behind torch's own attention; None if they cannot.
    module
        Where its own function is; None where only the switch is used.
    """

    name: str
    packages: tuple[str, ...]
    least: tuple[int, int]
    most: tuple[int, int] | None
    head_dim: int
    switch: str | None
    module: str | None


FLASHES = (  # the fastest first
    Flash("flash-attn 3", ("flash-attn-3", "flashattn-hopper"), HOPPER, HOPPER, 256, "FA3", "flash_attn_interface"),
    Flash("flash-attn 4", ("flash-attn-4",), HOPPER, (10, 9), 128, "FA4", None),
    Flash("flash-attn 2", ("flash-attn",), (8, 0), None, 256, None, "flash_attn"),
)


@dataclass(frozen=True)
class Setting:
    """What the choice of a kernel depends on.

    Attributes
    ----------
    device
        Type of the device: "cpu", "cuda", …
    capability
        Compute capability of a GPU.
    precision
        "bf16" or "fp32".
    head_dims
        Widths of the heads of all full attention of the model.
    installed
        Names of the flash-attn releases that are there.
    can_switch
        Whether torch can put flash-attn behind its own attention.
    failures
        Release to what happened when it was tried.
    """

    device: str
    capability: tuple[int, int] | None
    precision: str
    head_dims: tuple[int, ...]
    installed: tuple[str, ...]
    can_switch: bool
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kernel:
    """The kernel chosen, and why it is not flash-attn (empty if it is)."""

    name: str
    flash: Flash | None
    reason: str

    @property
    def line(self) -> str:
        """What a log says of it."""
        return f"attention kernel: {self.name}" + (f" (no flash-attn: {self.reason})" if self.reason else "")


def choose_kernel(setting: Setting) -> Kernel:
    """Choose the first release of flash-attn that nothing stands against, else torch's own attention."""
    reason = _common_obstacle(setting)
    if reason is None:
        found = {flash: _obstacle(flash, setting) for flash in FLASHES if flash.name in setting.installed}
        for flash, obstacle in found.items():
            if obstacle is None:
                return Kernel(flash.name, flash, "")
        reason = "; ".join(f"{flash.name} {obstacle}" for flash, obstacle in found.items()) or NOT_INSTALLED
    cudnn_first = setting.device == "cuda" and setting.capability == HOPPER
    return Kernel("torch, cuDNN first" if cudnn_first else "torch", None, reason)


def _common_obstacle(setting: Setting) -> str | None:
    if setting.device != "cuda":
        return f"it needs a CUDA GPU, the model runs on {setting.device}"
    if setting.precision != "bf16":
        return f"it needs half precision, the model runs in {setting.precision}"
    return None if setting.head_dims else "the model has no full attention"


def _obstacle(flash: Flash, setting: Setting) -> str | None:
    capability = setting.capability or (0, 0)
    if capability < flash.least or (flash.most is not None and capability > flash.most):
        least, most = (limit and "{}.{}".format(*limit) for limit in (flash.least, flash.most))
        limits = f"{least} or more" if most is None else least if most == least else f"{least} to {most}"
        return f"needs compute capability {limits}, this GPU has {capability[0]}.{capability[1]}"
    unfit = [width for width in setting.head_dims if width > flash.head_dim or width % HEAD_DIM_STEP]
    if unfit:
        return f"takes heads of {HEAD_DIM_STEP}, {2 * HEAD_DIM_STEP}, … {flash.head_dim} dimensions, here are {unfit}"
    if flash.module is None and not setting.can_switch:
        return "needs torch 2.13 or later"
    return setting.failures.get(flash.name)


@runtime_checkable
class TakesFlash(Protocol):
    """A layer of full attention, which calls `flash` in half precision where it is given one."""

    head_dim: int
    flash: Attend | None


def place_kernel(model: nn.Module, *, device: torch.device, precision: str) -> Kernel:
    """Choose once for a model on its device, try the kernel, and give it to all layers of full attention."""
    _switch_back()  # what an earlier model of this process chose
    layers = [layer for layer in model.modules() if isinstance(layer, TakesFlash)]
    setting = describe_setting(tuple(sorted({layer.head_dim for layer in layers})), device=device, precision=precision)
    while (kernel := choose_kernel(setting)).flash is not None:
        try:
            attend, switched = bring_in(kernel.flash, can_switch=setting.can_switch)
            for head_dim in setting.head_dims:
                probe(attend, head_dim=head_dim, device=device)
        except Exception as error:  # noqa: BLE001  (whatever a foreign build or compiler raises is the reason in the log line)
            _switch_back()
            problem = f"does not work here ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            setting = replace(setting, failures={**setting.failures, kernel.flash.name: problem})
            continue
        for layer in layers:
            layer.flash = None if switched else attend
        break
    return kernel


def describe_setting(head_dims: tuple[int, ...], *, device: torch.device, precision: str) -> Setting:
    """Look at the device and at what is installed."""
    return Setting(
        device=device.type,
        capability=torch.cuda.get_device_capability(device) if device.type == "cuda" else None,
        precision=precision,
        head_dims=head_dims,
        installed=tuple(flash.name for flash in FLASHES if any(map(_is_installed, flash.packages))),
        can_switch=hasattr(torch_attention, "activate_flash_attention_impl"),
    )


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def bring_in(flash: Flash, *, can_switch: bool) -> tuple[Attend, bool]:
    """Return what computes attention by flash-attn, and whether torch's own attention now does."""
    if flash.switch is not None and can_switch:
        torch_attention.activate_flash_attention_impl(flash.switch)
        return scaled_dot_product_attention, True
    assert flash.module is not None
    return partial(call_flash, importlib.import_module(flash.module).flash_attn_func), False


def _switch_back() -> None:
    if hasattr(torch_attention, "restore_flash_attention_impl") and is_switched():
        torch_attention.restore_flash_attention_impl()


def call_flash(
    function: Callable[..., Tensor | tuple[Tensor, ...]],
    query: Float[Tensor, "cell head token head_dim"],
    key: Float[Tensor, "cell kv_head token head_dim"],
    value: Float[Tensor, "cell kv_head token head_dim"],
) -> Float[Tensor, "cell head token head_dim"]:
    """Call flash-attn's function, whose heads come after the tokens; some releases return statistics beside the result."""
    mixed = function(*(part.transpose(1, 2) for part in (query, key, value)))
    return (mixed[0] if isinstance(mixed, tuple) else mixed).transpose(1, 2)


def probe(attend: Attend, *, head_dim: int, device: torch.device) -> None:
    """Run a small attention and its gradient in bf16 beside plain matrices.

    Raises
    ------
    RuntimeError
        If their results lie apart; whatever the kernel raises, too.
    """
    draw = torch.randn(3, 1, 2, 64, head_dim, generator=torch.Generator().manual_seed(0)).to(device, torch.bfloat16)
    results = []
    for parts in (draw, draw.float()):
        query, key, value = (part.clone().requires_grad_() for part in parts)
        if parts is draw:
            with sdpa_kernel([SDPBackend.FLASH_ATTENTION]) if device.type == "cuda" else sdpa_kernel(REST):
                mixed = attend(query, key, value)
        else:
            mixed = (query @ key.transpose(-1, -2) / head_dim**0.5).softmax(dim=-1) @ value
        gradients = torch.autograd.grad(mixed.float().square().sum(), (query, key, value))
        results.append(torch.stack([mixed, *gradients]).detach().float())
    apart = float((results[0] - results[1]).abs().max() / results[1].abs().max())
    if not apart < PROBE_TOLERANCE:
        raise RuntimeError(f"its results are {apart:.2g} from those of plain matrices")


def is_switched() -> bool:
    """Tell whether torch's own attention runs flash-attn 3 or 4."""
    current = getattr(torch_attention, "current_flash_attention_impl", None)
    return current is not None and current() is not None


@contextmanager
def preferred_backends(device: torch.device) -> Iterator[None]:
    """Let torch's attention try its backends in the order that suits the device; on the CPU nothing changes."""
    order = []
    if device.type == "cuda" and is_switched():
        order = FLASH_FIRST
    elif device.type == "cuda" and torch.cuda.get_device_capability(device) == HOPPER:
        order = CUDNN_FIRST
    if not order:
        yield
        return
    with sdpa_kernel(order, set_priority=True):
        yield
