"""On a GPU: the loop, its memory and its cost."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scprint2.training.step import Numerics, Trainer
from scprint2.training.work import Unfinished
from tests.helpers import ROOT, make_batch, make_experiment, make_genes, make_labels, make_model
from tests.training import tiny

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr("scprint2.training.step.compile_model", lambda model: None)


@pytest.fixture
def little_memory():
    """Let torch have no more than what is in use and 200 MB."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 200e6) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_a_training_runs_to_its_end_and_knows_the_gpu(manifest, tmp_path):
    """Compiled, so in a process without the type checks of the tests."""
    code = (
        f"from tests.training import tiny; tiny.train({str(manifest)!r}, tiny.Path({str(tmp_path)!r}), device='cuda')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "torch.compile does not work" not in run.stdout + run.stderr
    cost = json.loads((tmp_path / "model" / "cost.json").read_text())
    assert cost["device"] == torch.cuda.get_device_name()
    assert cost["gpu_seconds"] > 0
    assert cost["peak_gpu_memory_bytes"] > 0
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@pytest.mark.usefixtures("eager")
def test_a_training_that_was_stopped_ends_where_the_undisturbed_one_does(manifest, tmp_path, monkeypatch):
    tiny.train(manifest, tmp_path / "whole", device="cuda")
    update = Trainer.update

    def slow_update(self, batch, *, step, learning_rate):
        time.sleep(0.3)
        return update(self, batch, step=step, learning_rate=learning_rate)

    monkeypatch.setattr(Trainer, "update", slow_update)
    with pytest.raises(Unfinished):
        tiny.train(manifest, tmp_path / "parts", device="cuda", budget_seconds=3.0)
    monkeypatch.setattr(Trainer, "update", update)
    tiny.train(manifest, tmp_path / "parts", device="cuda")
    whole, parts = (tiny.losses(tmp_path / name) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    last = max(whole)
    np.testing.assert_allclose(float(parts[last][0]), float(whole[last][0]), rtol=0.02)


@pytest.mark.usefixtures("little_memory", "eager")
def test_a_batch_that_does_not_fit_goes_through_in_parts():
    said, experiment = [], make_experiment("base")
    trainer = Trainer(
        make_model("base").to(GPU), experiment.training, numerics=Numerics(GPU, "fp32"), seed=0, say=said.append
    )
    batch = make_batch(make_genes(human=2000), make_labels(), cells=64, context=2000).to(GPU)
    batch = type(batch)(**{**vars(batch), "genes": batch.genes % 60})
    values = trainer.update(batch, step=0, learning_rate=1e-3)
    assert torch.isfinite(values).all()
    assert trainer.recomputes
    assert trainer.micro_batches > 1
    assert all("out of memory" in line for line in said)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("variant", ["base", "softpick", "xpressor", "v2_small"])
def test_activations_that_are_computed_again_in_half_precision_give_the_same_step(variant):
    experiment, results = make_experiment(variant), []
    batch = make_batch(make_genes(), make_labels(), neighbors=experiment.data.neighbors.most)
    batch = experiment.data.genes.pad(batch).to(GPU)
    for recomputes in (False, True):
        trainer = Trainer(
            make_model(variant).to(GPU), experiment.training, numerics=Numerics(GPU, "bf16"), seed=0, say=print
        )
        trainer.recomputes = recomputes
        results.append(torch.stack([trainer.update(batch, step=step, learning_rate=1e-3) for step in range(2)]))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)
