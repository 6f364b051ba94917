"""What a job costs: seconds, seconds of a GPU, energy where the GPU tells it, and memory."""

import platform
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

SAMPLE_SECONDS = 0.5  # between two looks at memory and power: finding the children of a process takes some milliseconds
NO_GPU = "not available: no GPU was used"
UNRECORDED = "not recorded"


class NoEnergy:
    """There is nothing to read; `source` says why."""

    def __init__(self, reason: str) -> None:
        self.source = reason

    def joules(self) -> None:
        """Nothing."""

    def sample(self) -> None:
        """Nothing to look at."""


class CountedEnergy:
    """The difference of two readings of the GPU's own counter of energy (NVIDIA, since Volta)."""

    source = "NVML total energy counter, whole GPU"

    def __init__(self, read_millijoules: Callable[[], int]) -> None:
        self._read = read_millijoules
        self._first = read_millijoules()

    def joules(self) -> float:
        """Joules since this was made."""
        return (self._read() - self._first) / 1000

    def sample(self) -> None:
        """Nothing to do: the GPU counts."""


class SampledEnergy:
    """Power, looked at now and then and added up by trapezoids, where a GPU has no counter of energy."""

    source = f"NVML power, sampled every {SAMPLE_SECONDS:g} s, whole GPU"

    def __init__(self, read_milliwatts: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read_milliwatts, clock
        self._last = (clock(), read_milliwatts())
        self._joules = 0.0

    def joules(self) -> float:
        """Joules since this was made."""
        self.sample()
        return self._joules

    def sample(self) -> None:
        """Add the energy since the last look."""
        now, power = self._clock(), self._read()
        before, earlier = self._last
        self._joules += (now - before) * (power + earlier) / 2 / 1000
        self._last = (now, power)


class EnergyMeter:
    """Any of these, until it fails: then there is nothing to read, and `source` says why. No work is lost for its energy."""

    def __init__(self, reading: NoEnergy | CountedEnergy | SampledEnergy) -> None:
        self.reading = reading

    @property
    def source(self) -> str:
        """Where the numbers come from, or why there are none."""
        return self.reading.source

    def joules(self) -> float | None:
        """Joules since this was made."""
        try:
            return self.reading.joules()
        except Exception as trouble:  # noqa: BLE001  (whatever NVML raises)
            self._give_up(trouble)
            return None

    def sample(self) -> None:
        """Look now and then."""
        try:
            self.reading.sample()
        except Exception as trouble:  # noqa: BLE001
            self._give_up(trouble)

    def _give_up(self, trouble: Exception) -> None:
        self.reading = NoEnergy(f"not available: NVML failed ({trouble})")


def processor() -> str:
    """Return the name of the CPU."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read_energy(device: str) -> EnergyMeter:
    """Begin to read the energy of a device, by the best way that it has. Needs nvidia-ml-py, the extra `energy`."""
    return EnergyMeter(_find_energy(device))


def _find_energy(device: str) -> NoEnergy | CountedEnergy | SampledEnergy:
    if not is_gpu(device):
        return NoEnergy(NO_GPU)
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return NoEnergy("not available: nvidia-ml-py is not installed (pip install 'scprint2[energy]')")
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid(device))
        try:
            return CountedEnergy(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError_NotSupported:
            return SampledEnergy(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    except pynvml.NVMLError as error:
        return NoEnergy(f"not available: NVML says {error}")


def is_gpu(device: str) -> bool:
    """Tell whether a device, in torch's words, is an NVIDIA GPU."""
    return device.startswith("cuda")


def gpu_uuid(device: str) -> str:
    """The name under which NVML knows a GPU, whatever CUDA_VISIBLE_DEVICES calls it."""
    import torch  # here, and below: scoring does without

    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"


@dataclass(frozen=True)
class JobCost:
    """The cost of a job or of a part of one.

    Attributes
    ----------
    seconds, cpu_seconds
        By the clock on the wall, and of all cores together (this process and its children).
    gpu_seconds
        Seconds for which a GPU was held, times the number of GPUs; 0 on a CPU.
    energy_joules, energy_source
        Of the whole GPU, whoever else used it; None where it cannot be read, and the source says why.
    peak_memory_bytes
        Resident memory of the process and its children, looked at twice a second: a shorter peak can be missed.
    peak_gpu_memory_bytes
        What torch had allocated on the GPU; None on a CPU.
    cells
        Cells that were read; None where the work is not by cell.
    """

    device: str
    seconds: float
    cpu_seconds: float
    gpu_seconds: float
    energy_joules: float | None
    energy_source: str
    peak_memory_bytes: int
    peak_gpu_memory_bytes: int | None
    cells: int | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class JobMeter:
    """Measures a block of work: `with JobMeter(device, name=...) as meter: ...`, then `meter.cost(cells=...)`.

    `device` is torch's word for it, such as cpu or cuda:0; `name` is that of the hardware, for a table that compares costs.
    """

    def __init__(self, device: str, *, name: str) -> None:
        self._device, self._name = device, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._process = psutil.Process()
        self._peak = 0

    def __enter__(self) -> "JobMeter":
        peak_gpu_memory_bytes(self._device, reset=True)
        self._energy = read_energy(self._device)
        self._sample()
        self._begin, self._cpu = time.monotonic(), self._cpu_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
        self._seconds = time.monotonic() - self._begin
        self._cpu = self._cpu_seconds() - self._cpu
        self._joules = self._energy.joules()

    def cost(self, *, cells: int | None) -> JobCost:
        """Return what the finished block has cost."""
        return JobCost(
            device=self._name,
            seconds=round(self._seconds, 3),
            cpu_seconds=round(self._cpu, 3),
            gpu_seconds=round(self._seconds, 3) if is_gpu(self._device) else 0.0,
            energy_joules=None if self._joules is None else round(self._joules, 1),
            energy_source=self._energy.source,
            peak_memory_bytes=self._peak,
            peak_gpu_memory_bytes=peak_gpu_memory_bytes(self._device),
            cells=cells,
        )

    def _look(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        self._peak = max(self._peak, tree_memory_bytes(self._process))
        self._energy.sample()

    def _cpu_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system


def peak_gpu_memory_bytes(device: str, *, reset: bool = False) -> int | None:
    """Return the most memory that torch has allocated on a GPU, and begin anew if asked to; None for another device."""
    if not is_gpu(device):
        return None
    import torch

    peak = torch.cuda.max_memory_allocated(device)
    if reset:
        torch.cuda.reset_peak_memory_stats(device)
    return peak


def tree_memory_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and all that it has started; memory that they share counts more than once."""
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it ended between two looks
    return total


def read_cost(record: Mapping[str, Any]) -> JobCost:
    """Read a cost as it was stored; what an older version did not store is `not recorded`.

    Raises
    ------
    KeyError
        If there is no device or no time.
    """
    return JobCost(
        device=record["device"],
        seconds=record["seconds"],
        cpu_seconds=record.get("cpu_seconds", float("nan")),
        gpu_seconds=record.get("gpu_seconds", float("nan")),
        energy_joules=record.get("energy_joules"),
        energy_source=record.get("energy_source", UNRECORDED),
        peak_memory_bytes=record["peak_memory_bytes"],
        peak_gpu_memory_bytes=record.get("peak_gpu_memory_bytes"),
        cells=record["cells"],
    )
