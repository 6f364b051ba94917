"""One update of the weights: forward, backward, clipping, AdamW, without waiting for the device."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scprint2.data.batch import CellBatch
from scprint2.model.kernels import place_kernel, preferred_backends
from scprint2.randomness import stream_seed
from scprint2.training.schedule import TrainingConfig

HALVINGS = 4
RECOMPILATIONS = 64  # training and evaluation, with and without gradient, for each number of neighbors
VALIDATION_SEED = stream_seed("validation")  # the same views of the validation cells in every training


class Trainable(nn.Module):
    """What a training needs of a model: the network under `model`, losses by name, and a call that returns their sum and each."""

    model: nn.Module
    losses: Mapping[str, "Loss"]

    def forward(self, batch: CellBatch, *, step: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses and each loss."""
        raise NotImplementedError


@runtime_checkable
class Loss(Protocol):
    """What a training needs to know of a loss."""

    @property
    def compares_cells(self) -> bool:
        """Whether the loss of a cell depends on the other cells of its batch."""
        ...

    def __call__(self, outputs: Mapping[str, Any], batch: CellBatch) -> Tensor:
        """Return the loss of what the views gave."""
        ...


@runtime_checkable
class Recomputes(Protocol):
    """A part of a model that can compute its activations again for the gradient instead of keeping them."""

    recomputes: bool


@dataclass(frozen=True)
class Numerics:
    """In which precision a model runs on a device.

    Attributes
    ----------
    precision
        "bf16" (autocast; weights, losses and optimizer in fp32) or "fp32".
    """

    device: torch.device
    precision: str

    @contextmanager
    def context(self) -> Iterator[None]:
        """Surround a forward pass."""
        with ExitStack() as stack:
            if self.precision == "bf16":
                stack.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            stack.enter_context(preferred_backends(self.device))
            yield


def choose_numerics(device: str, *, precision: str) -> Numerics:
    """Choose for a device ("auto": the GPU if there is one). On the CPU everything runs in fp32, whatever is asked.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.split(":")[0] not in ("cpu", "cuda") or (device.startswith("cuda") and not torch.cuda.is_available()):
        raise ValueError(
            f"device {device!r} is not available; allowed here: auto, cpu" + ", cuda" * torch.cuda.is_available()
        )
    chosen = torch.device(device)
    return Numerics(chosen, "fp32" if chosen.type == "cpu" else precision)


class Trainer:
    """Updates the weights of a model; holds the optimizer, the kernel of attention and what was done to fit into memory.

    Parameters
    ----------
    say
        Called with one line when something unusual happens.
    """

    def __init__(
        self, model: Trainable, training: TrainingConfig, *, numerics: Numerics, seed: int, say: Callable[[str], None]
    ) -> None:
        self.model = model
        self.micro_batches = 1
        self._numerics = numerics
        self._seed = seed
        self._say = say
        self._clip_norm = training.clip_norm
        self._weights = [weight for weight in model.model.parameters() if weight.requires_grad]
        optimizer = training.optimizer
        self.optimizer = torch.optim.AdamW(
            self._weights,
            lr=optimizer.learning_rate,
            betas=optimizer.betas,
            eps=optimizer.eps,
            weight_decay=optimizer.weight_decay,
            fused=True,  # on the CPU, too: only the fused one can skip an update by a flag on the device
        )
        self._recomputing = [part for part in model.model.modules() if isinstance(part, Recomputes)]
        self.kernel = place_kernel(model.model, device=numerics.device, precision=numerics.precision)
        self._compiled = numerics.device.type == "cuda"
        if self._compiled:
            compile_model(model.model)

    @property
    def recomputes(self) -> bool:
        """Whether activations are computed again for the gradient; the numbers are the same, the memory and the speed less."""
        return any(part.recomputes for part in self._recomputing)

    @recomputes.setter
    def recomputes(self, value: bool) -> None:
        for part in self._recomputing:
            part.recomputes = value

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses."""
        return tuple(self.model.losses)

    def update(self, batch: CellBatch, *, step: int, learning_rate: float) -> Float[Tensor, " value"]:
        """Make one update and return, on the device, the loss, its terms, and the norm of the gradient before clipping.

        If the loss or the gradient is not finite, the weights and the optimizer stay as they were.
        """
        self.model.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        values = self._with_memory(batch, step=step, seed=self._seed, backward=True)
        norm = nn.utils.clip_grad_norm_(self._weights, self._clip_norm, foreach=True)
        finite = torch.isfinite(values).all() & torch.isfinite(norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.found_inf = (~finite).float()  # pyright: ignore[reportAttributeAccessIssue]  (as GradScaler does)
        self.optimizer.step()
        return torch.cat([values, norm.detach()[None]])

    @torch.no_grad()
    def evaluate(self, batch: CellBatch, *, index: int) -> Float[Tensor, " value"]:
        """Return, on the device, the loss and its terms on the validation batch number `index`; views never change."""
        self.model.model.eval()
        return self._with_memory(batch, step=index, seed=VALIDATION_SEED, backward=False)

    def _with_memory(self, batch: CellBatch, *, step: int, seed: int, backward: bool) -> Float[Tensor, " value"]:
        while True:
            try:
                return self._accumulate(batch, step=step, seed=seed, backward=backward)
            except torch.OutOfMemoryError as error:
                message = str(error).splitlines()[0]
            except compiler_errors() as error:
                if not self._compiled:
                    raise
                self._run_eagerly(error)
                continue
            finally_free(self.optimizer)
            if backward and self._recomputing and not self.recomputes:
                self.recomputes = True
                self._say("out of memory: activations are now computed again for the gradient, which changes no number")
            else:
                self._halve(len(batch), message=message)

    def _accumulate(self, batch: CellBatch, *, step: int, seed: int, backward: bool) -> Float[Tensor, " value"]:
        """Losses are means over cells, so a micro-batch counts by its share of the cells."""
        size = math.ceil(len(batch) / self.micro_batches)
        sums: Tensor | None = None
        for start in range(0, len(batch), size):
            part = batch if size == len(batch) else batch.select(slice(start, start + size))
            share = len(part) / len(batch)
            with self._numerics.context():
                total, terms = self.model(part, step=step, seed=seed if start == 0 else stream_seed(seed, start))
            if backward:
                with preferred_backends(self._numerics.device):  # activations computed again come from the same kernels
                    (total * share).backward()
            values = torch.stack([total, *(terms[name] for name in self.terms)]).detach().float() * share
            sums = values if sums is None else sums + values
        assert sums is not None
        return sums

    def _halve(self, cells: int, *, message: str) -> None:
        comparing = [name for name, loss in self.model.losses.items() if loss.compares_cells]
        if comparing and self.model.model.training:
            raise MemoryError(
                f"out of memory with {cells} cells ({message}); the losses {comparing} compare the cells of a batch, so "
                "it cannot be split. Use a GPU with more memory, or a smaller `training.batch_size` or `data.genes.max_genes`."
            )
        if self.micro_batches >= min(2**HALVINGS, cells):
            raise MemoryError(
                f"out of memory even with {math.ceil(cells / self.micro_batches)} cells at a time ({message}). "
                "Use a GPU with more memory or a smaller `data.genes.max_genes`."
            )
        self.micro_batches *= 2
        self._say(
            f"out of memory: {cells} cells now go through in {self.micro_batches} parts, their gradients add up to the same batch"
        )

    def _run_eagerly(self, error: Exception) -> None:
        self._compiled = False
        undo_compilation(self.model.model)
        self._say(
            f"torch.compile does not work here, running without it ({type(error).__name__}: {str(error).splitlines()[0]})"
        )


def compile_model(model: nn.Module) -> None:
    """Compile both ways through the model: its call, and `decode` where it has one."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = RECOMPILATIONS
    model.compile()
    if hasattr(model, "decode"):
        model.decode = torch.compile(model.decode)  # pyright: ignore[reportArgumentType, reportCallIssue]


def undo_compilation(model: nn.Module) -> None:
    """Return to the plain model; torch has no public way back."""
    model._compiled_call_impl = None
    vars(model).pop("decode", None)


def compiler_errors() -> tuple[type[Exception], ...]:
    """What a compiler that does not work raises; a function, because the import takes seconds."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError

    return TorchDynamoException, CppCompileError


def finally_free(optimizer: torch.optim.Optimizer) -> None:
    """Give back gradients and cached blocks after an allocation failed."""
    optimizer.zero_grad(set_to_none=True)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
