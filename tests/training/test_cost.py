import time

import pytest
import torch

from scprint2.training.cost import CostMeter, device_name, peak_memory_bytes

CPU = torch.device("cpu")


def test_seconds_and_cells_add_up_over_processes():
    first = CostMeter(CPU)
    first.start()
    time.sleep(0.02)
    first.add_step(cells=8)
    second = CostMeter(CPU, saved=first.state(step=1), step=1)
    second.start()
    time.sleep(0.01)
    second.add_step(cells=8)
    second.start()
    second.add_validation()
    summary = second.summary(step=2, steps_per_epoch=100)
    assert summary["steps"] == 2
    assert summary["cells"] == 16
    assert summary["training_seconds"] >= 0.03
    assert summary["cells_per_second"] == pytest.approx(16 / summary["training_seconds"], rel=0.05)
    assert summary["seconds_per_epoch"] == pytest.approx(50 * summary["training_seconds"], rel=0.05)
    assert [(s["first_step"], s["last_step"]) for s in summary["segments"]] == [(0, 1), (1, 2)]


def test_time_between_a_step_and_the_next_start_is_not_counted():
    meter = CostMeter(CPU)
    meter.start()
    meter.add_step(cells=1)
    time.sleep(0.05)
    meter.start()
    meter.add_step(cells=1)
    assert meter.seconds < 0.04


def test_the_first_step_of_a_process_says_nothing_about_the_next_ones(monkeypatch):
    clock = iter([0.0, 0.0, 100.0, 100.0, 103.0])  # the meter, then start and end of two steps
    monkeypatch.setattr("scprint2.training.cost.time.monotonic", lambda: next(clock))
    meter = CostMeter(torch.device("cpu"))
    seconds = []
    for _ in range(2):
        meter.start()
        meter.add_step(cells=1)
        seconds.append(meter.step_seconds)
    assert seconds == [0.0, 3.0]


def test_an_untrained_model_has_no_speed():
    summary = CostMeter(CPU).summary(step=0, steps_per_epoch=100)
    assert summary["cells_per_second"] is None
    assert summary["seconds_per_epoch"] is None
    assert summary["seconds"] == 0


def test_the_kernel_of_attention_stands_beside_the_hardware():
    meter = CostMeter(CPU, kernel="flash-attn 3")
    summary = meter.summary(step=0, steps_per_epoch=100)
    assert summary["attention_kernel"] == "flash-attn 3"
    assert {segment["attention_kernel"] for segment in summary["segments"]} == {"flash-attn 3"}


def test_memory_and_hardware_are_those_of_this_machine():
    block = bytearray(200_000_000)
    assert peak_memory_bytes() > len(block)
    assert "thread" in device_name(CPU)
