"""Which kernel computes attention: flash-attn or torch's own for full attention, FlexAttention on a GPU for softpick.

Kernels differ in rounding only, so the choice belongs to the hardware and not to the experiment.
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

from scprint2.model.softpick import Flex, flex_softpick, softpick

HALF = (torch.float16, torch.bfloat16)
HEAD_DIM_STEP = 8  # flash-attn reads 16 bytes at a time
HOPPER = (9, 0)
NOT_INSTALLED = "not installed, extras `gpu` and `fa4` bring it"
REST = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
FLASH_FIRST = [SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, *REST]
CUDNN_FIRST = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, *REST]  # about 90 % of flash-attn 3 on Hopper
PROBED = 64  # tokens
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
    """The kernel chosen, why it is not flash-attn (empty if it is), and what computes softpick (empty if nothing has to)."""

    name: str
    flash: Flash | None
    reason: str
    softpick: str = ""

    @property
    def line(self) -> str:
        """What a log says of it."""
        line = f"attention kernel: {self.name}" + (f" (no flash-attn: {self.reason})" if self.reason else "")
        return line + (f"; softpick: {self.softpick}" if self.softpick else "")


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


@runtime_checkable
class TakesFlex(Protocol):
    """A layer of softpick, which calls `flex` where it is given one."""

    head_dim: int
    flex: Flex | None


def place_kernel(model: nn.Module, *, device: torch.device, precision: str) -> Kernel:
    """Choose once for a model on its device, try the kernels, and give them to all layers of full attention and of softpick."""
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
    return replace(kernel, softpick=place_flex(model, device=device, precision=precision))


def place_flex(model: nn.Module, *, device: torch.device, precision: str) -> str:
    """Try FlexAttention on a GPU, give it to all layers of softpick, and return what computes them (empty without any)."""
    layers = [layer for layer in model.modules() if isinstance(layer, TakesFlex)]
    if not layers:
        return ""
    if device.type != "cuda":
        return f"row blocks (FlexAttention has no gradient on {device.type})"
    try:
        flex = compiled_flex()
        for head_dim in {layer.head_dim for layer in layers}:
            probe_flex(
                flex, head_dim=head_dim, device=device, dtype=torch.bfloat16 if precision == "bf16" else torch.float32
            )
    except Exception as error:  # noqa: BLE001  (whatever a foreign compiler raises is the reason in the log line)
        return (
            f"row blocks (FlexAttention does not work here: {type(error).__name__}: {str(error).partition(chr(10))[0]})"
        )
    for layer in layers:
        layer.flex = flex
    return "FlexAttention"


def compiled_flex() -> Flex:
    """Return FlexAttention; not compiled it makes the matrix of all pairs."""
    from torch.nn.attention.flex_attention import flex_attention  # here: its import takes a second

    return torch.compile(flex_attention)  # pyright: ignore[reportReturnType]


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

    def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return (query @ key.transpose(-1, -2) / head_dim**0.5).softmax(dim=-1) @ value

    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]) if device.type == "cuda" else sdpa_kernel(REST):
        _compare(attend, plain, head_dim=head_dim, device=device, dtype=torch.bfloat16)


def probe_flex(flex: Flex, *, head_dim: int, device: torch.device, dtype: torch.dtype) -> None:
    """Run a small softpick and its gradient, with and without padding, beside plain matrices.

    Raises
    ------
    RuntimeError
        If their results lie apart; whatever FlexAttention raises, too.
    """
    for hidden in (None, torch.arange(PROBED, device=device)[None] >= PROBED - 5):

        def attend(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = hidden) -> Tensor:
            return flex_softpick(flex, query, key, value, padding=hidden)

        def plain(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = hidden) -> Tensor:
            shown = None if hidden is None else ~hidden[:, None, None]
            return softpick(query @ key.transpose(-1, -2) / head_dim**0.5, shown) @ value

        _compare(attend, plain, head_dim=head_dim, device=device, dtype=dtype)


def _compare(attend: Attend, plain: Attend, *, head_dim: int, device: torch.device, dtype: torch.dtype) -> None:
    draw = torch.randn(3, 1, 2, PROBED, head_dim, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    results = []
    for function, parts in ((attend, draw), (plain, draw.float())):
        query, key, value = (part.clone().requires_grad_() for part in parts)
        mixed = function(query, key, value)
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
