"""What a training costs: seconds, cells, memory, energy, and on which hardware."""

import os
import resource
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from scprint2.accounting import is_gpu, peak_gpu_memory_bytes, processor, read_energy

ZERO = {"training_seconds": 0.0, "validation_seconds": 0.0, "training_cells": 0, "training_steps": 0}


def device_name(device: torch.device) -> str:
    """Return the name of the hardware that runs the model, for a table that compares costs."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held, as the system saw it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class CostMeter:
    """Adds up the cost of a training over all processes that worked on it.

    Time is counted between a `start` and the next `add_*`: what lies outside (saving, starting up) is not. CPU seconds, GPU
    seconds and energy are those of all that a process does after it has made its meter. `kernel` is the one of attention.
    """

    def __init__(
        self, device: torch.device, *, kernel: str | None = None, saved: Mapping[str, Any] | None = None, step: int = 0
    ) -> None:
        saved = saved or {}
        self._device = device
        self._sums = {name: saved.get(name, zero) for name, zero in ZERO.items()}
        self._peak = int(saved.get("peak_memory_bytes", 0))
        self._earlier = list(saved.get("segments", []))
        self._energy = read_energy(str(device))
        self._cpu_begin = time.process_time()
        self._segment = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "device": device_name(device),
            "attention_kernel": kernel,
            "first_step": step,
        }
        self._last_step, self._stepped = 0.0, False
        self._begin = self._mark = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training and validation so far."""
        return self._sums["training_seconds"] + self._sums["validation_seconds"]

    @property
    def cells_per_second(self) -> float:
        """Cells trained per second so far."""
        return self._sums["training_cells"] / max(1e-9, self._sums["training_seconds"])

    @property
    def step_seconds(self) -> float:
        """Seconds of the last training step; 0 up to the first one of this process, in which the model may be compiled."""
        return self._last_step

    def start(self) -> None:
        """Count from now."""
        self._mark = time.monotonic()

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._mark = now - self._mark, now
        self._energy.sample()
        return lap

    def add_step(self, *, cells: int) -> None:
        """Count a training step."""
        lap = self._lap()
        self._last_step = lap if self._stepped else 0.0
        self._stepped = True
        self._sums["training_seconds"] += lap
        self._sums["training_cells"] += cells
        self._sums["training_steps"] += 1

    def add_validation(self) -> None:
        """Count the time since `start` as validation."""
        self._sums["validation_seconds"] += self._lap()

    def state(self, *, step: int) -> dict[str, Any]:
        """Return what a checkpoint keeps, the segment that runs now included."""
        self._peak = max(self._peak, peak_memory_bytes())
        joules = self._energy.joules()
        segment = self._segment | {
            "last_step": step,
            "seconds": round(time.monotonic() - self._begin, 3),
            "cpu_seconds": round(time.process_time() - self._cpu_begin, 3),
            "energy_joules": None if joules is None else round(joules, 1),
            "peak_gpu_memory_bytes": peak_gpu_memory_bytes(str(self._device)),
        }
        return self._sums | {"peak_memory_bytes": self._peak, "segments": [*self._earlier, segment]}

    def summary(self, *, step: int, steps_per_epoch: int) -> dict[str, Any]:
        """Return the content of `cost.json`; None where nothing was trained.

        Speeds are of training steps alone, without validation. A step that was done again after a kill is counted once.
        """
        state = self.state(step=step)
        seconds, steps, cells = (self._sums[name] for name in ("training_seconds", "training_steps", "training_cells"))
        segments = state["segments"]
        held = sum(segment["seconds"] for segment in segments)
        return {
            "seconds": round(self.seconds, 3),
            "training_seconds": round(seconds, 3),
            "validation_seconds": round(self._sums["validation_seconds"], 3),
            "steps": steps,
            "cells": cells,
            "cells_per_second": cells / seconds if steps else None,
            "seconds_per_epoch": seconds / steps * steps_per_epoch if steps else None,
            "cpu_seconds": _total(segments, "cpu_seconds"),
            "gpu_seconds": round(held, 3) if is_gpu(str(self._device)) else 0.0,
            "energy_joules": _total(segments, "energy_joules"),
            "energy_source": self._energy.source,
            "peak_memory_bytes": self._peak,
            "peak_gpu_memory_bytes": max(segment.get("peak_gpu_memory_bytes") or 0 for segment in segments) or None,
            "device": self._segment["device"],
            "attention_kernel": self._segment["attention_kernel"],
            "torch_version": torch.__version__,
            "segments": segments,
        }


def _total(segments: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Sum over segments; None if one of them does not know."""
    values = [segment.get(name) for segment in segments]
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if len(known) == len(values) else None
