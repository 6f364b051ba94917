"""Costs of jobs: what is measured, what is read from a GPU, and what says that it is not available."""

import subprocess
import sys
import types
from itertools import pairwise

import psutil
import pytest

from scprint2 import accounting
from scprint2.accounting import JobMeter, SampledEnergy, read_cost, read_energy, tree_memory_bytes

GPU = "cuda:0"


def fake_nvml(*, counter: list[int] | None, milliwatts: int = 0):
    """NVML as nvidia-ml-py has it, of a GPU that counts its energy, or else tells its power only."""
    module = types.ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})
    module.NVMLError_NotSupported = type("NVMLError_NotSupported", (module.NVMLError,), {})
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid
    module.nvmlDeviceGetPowerUsage = lambda handle: milliwatts

    def total_energy(handle):
        if counter is None:
            raise module.NVMLError_NotSupported
        return counter.pop(0)

    module.nvmlDeviceGetTotalEnergyConsumption = total_energy
    return module


@pytest.fixture
def nvml(monkeypatch):
    monkeypatch.setattr(accounting, "gpu_uuid", lambda device: "GPU-1")
    return lambda module: monkeypatch.setitem(sys.modules, "pynvml", module)


def test_seconds_memory_and_cells_of_a_block_are_measured_and_energy_says_why_it_is_not():
    with JobMeter("cpu", name="some processor") as meter:
        block = bytearray(150_000_000)
        total = sum(range(3_000_000))
    assert total > 0
    cost = meter.cost(cells=7)
    assert 0 < cost.cpu_seconds <= 1.5 * cost.seconds + 0.05
    assert cost.peak_memory_bytes > len(block)
    assert (cost.gpu_seconds, cost.energy_joules, cost.peak_gpu_memory_bytes) == (0.0, None, None)
    assert cost.energy_source == accounting.NO_GPU
    assert read_cost(cost.to_json()) == cost


def test_memory_of_children_is_counted():
    command = [sys.executable, "-c", "block = bytearray(100_000_000); print('ready', flush=True); input()"]
    alone = tree_memory_bytes(psutil.Process())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        both = tree_memory_bytes(psutil.Process())
        child.communicate("\n")
    assert both - alone > 90_000_000


def test_a_gpu_that_counts_its_energy_is_read_twice(nvml):
    nvml(fake_nvml(counter=[5_000, 7_500, 9_000]))
    energy = read_energy(GPU)
    assert (energy.joules(), energy.joules()) == (2.5, 4.0)
    assert "counter" in energy.source


def test_a_gpu_that_tells_only_its_power_is_sampled(nvml):
    nvml(fake_nvml(counter=None, milliwatts=300_000))
    assert isinstance(read_energy(GPU).reading, SampledEnergy)


def test_power_is_added_up_by_trapezoids():
    times, powers = [0.0, 1.0, 3.0, 4.0], [100_000, 300_000, 300_000, 0]
    clock, power = iter(times), iter(powers)
    energy = SampledEnergy(lambda: next(power), clock=lambda: next(clock))
    energy.sample()
    energy.sample()
    by_hand = sum((t - s) * (p + q) / 2000 for (s, t), (p, q) in zip(pairwise(times), pairwise(powers), strict=True))
    assert energy.joules() == pytest.approx(by_hand) == pytest.approx(200 + 600 + 150)


def test_without_the_library_or_the_right_the_reason_says_what_to_do(nvml, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    missing = read_energy(GPU)
    assert missing.joules() is None
    assert "scprint2[energy]" in missing.source
    module = fake_nvml(counter=None)

    def refuse(handle):
        raise module.NVMLError("Insufficient Permissions")

    module.nvmlDeviceGetPowerUsage = refuse
    nvml(module)
    assert "Insufficient Permissions" in read_energy(GPU).source


def test_a_gpu_that_stops_telling_its_energy_costs_the_energy_alone(nvml):
    module = fake_nvml(counter=[5_000, 7_500])  # a third reading fails
    nvml(module)
    energy = read_energy(GPU)
    assert energy.joules() == 2.5
    assert energy.joules() is None
    assert "NVML failed" in energy.source
    energy.sample()
    assert energy.joules() is None


def test_a_cost_of_an_older_version_says_what_it_did_not_record():
    old = {"device": "cpu A", "seconds": 3.0, "peak_memory_bytes": 10, "cells": 5}
    cost = read_cost(old)
    assert (cost.energy_joules, cost.energy_source) == (None, accounting.UNRECORDED)
