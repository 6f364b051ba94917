"""What every benchmark shares: the machine, interleaved rounds, and medians."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

PACKAGES = ("numpy", "scipy", "torch", "anndata")
ROUNDS = 3


def require_gpu(benchmark: str) -> None:
    """Refuse to measure without a GPU.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError(f"the benchmark `{benchmark}` needs a CUDA GPU")


def describe_machine() -> dict:
    """Return what a number depends on beside the code."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def interleave(
    candidates: Mapping[str, Callable[[int], object]],
    *,
    repeats: Mapping[str, int],
    cpu_clock: Callable[[], float] = time.thread_time,
) -> dict[str, dict]:
    """Time each candidate in three rounds, one after the other in every round, after one call to warm up.

    A candidate is called with 0, 1, … `repeats` - 1. Wall seconds and processor seconds, per call; the latter count on a machine
    that others use too. They are those of the calling thread, or of the whole process with `time.process_time`.
    """
    wall, cpu = {name: [] for name in candidates}, {name: [] for name in candidates}
    for call in candidates.values():
        call(0)
    for _ in range(ROUNDS):
        for name, call in candidates.items():
            begin = time.perf_counter(), cpu_clock()
            for number in range(repeats[name]):
                call(number)
            wall[name].append((time.perf_counter() - begin[0]) / repeats[name])
            cpu[name].append((cpu_clock() - begin[1]) / repeats[name])
    return {
        name: {
            "seconds": statistics.median(wall[name]),
            "cpu_seconds": statistics.median(cpu[name]),
            "rounds": wall[name],
            "cpu_rounds": cpu[name],
        }
        for name in candidates
    }
