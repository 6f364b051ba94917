"""How long a model trains and with which learning rate: pure functions of the step and the validation losses so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from scprint2.config.node import Node


class OptimizerConfig(Node):
    """AdamW (weight decay decoupled from the gradient)."""

    learning_rate: float = Field(gt=0)
    betas: tuple[float, float]
    eps: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class PlateauConfig(Node):
    """Multiply the learning rate by `factor` each time the validation loss has not improved for `patience` epochs."""

    kind: Literal["plateau"]
    factor: float = Field(gt=0, le=1)
    patience: int = Field(ge=1)


ScheduleConfig = PlateauConfig


class TrainingConfig(Node):
    """How a model is trained. `epochs: 0` publishes the initial weights."""

    batch_size: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)
    epochs: int = Field(ge=0)
    validation_batches: int = Field(ge=1)
    optimizer: OptimizerConfig
    clip_norm: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    schedule: ScheduleConfig
    stop_patience: int = Field(ge=1)
    precision: Literal["bf16", "fp32"]


@dataclass(frozen=True)
class PlateauState:
    """Where the validation losses leave the schedule.

    Attributes
    ----------
    best_epoch
        Number of the epoch with the lowest validation loss, counted from 1; 0 before the first.
    epochs_since_best
        Epochs without improvement.
    reductions
        How often the learning rate has been reduced.
    """

    best_epoch: int
    epochs_since_best: int
    reductions: int


def plateau_state(validation_losses: Sequence[float], *, patience: int) -> PlateauState:
    """Replay the validation losses, one per epoch. After a reduction, `patience` further epochs are waited for the next."""
    best, best_epoch, waited, reductions = float("inf"), 0, 0, 0
    for epoch, loss in enumerate(validation_losses, start=1):
        if loss < best:
            best, best_epoch, waited = loss, epoch, 0
            continue
        waited += 1
        if waited == patience:
            reductions, waited = reductions + 1, 0
    return PlateauState(best_epoch, len(validation_losses) - best_epoch, reductions)


def learning_rate(step: int, validation_losses: Sequence[float], *, training: TrainingConfig) -> float:
    """Return the learning rate of the update number `step` (from 0): linear warm-up times the plateau schedule.

    Source: Methods, "Pre-training". The schedule moves once per epoch (deviation D9).
    """
    reductions = plateau_state(validation_losses, patience=training.schedule.patience).reductions
    warmup = min(1.0, (step + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    return training.optimizer.learning_rate * training.schedule.factor**reductions * warmup


def is_finished(validation_losses: Sequence[float], *, training: TrainingConfig) -> bool:
    """Whether all epochs are done, or `stop_patience` epochs passed without improvement."""
    if len(validation_losses) >= training.epochs:
        return True
    return (
        plateau_state(validation_losses, patience=training.schedule.patience).epochs_since_best
        >= training.stop_patience
    )
