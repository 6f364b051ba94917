"""Compare compiled rows with plain ones, in a process without the type checks of the tests, which a compiler cannot read.

`python -m tests.gpu.compiled ROW ...` prints, as JSON, the largest relative difference of each row's losses and what its trainers
said: a line where they fell back to the plain model.
"""

import json
import sys
from unittest.mock import patch

import torch

from scprint2.training.step import Trainer, choose_numerics, compile_model
from tests.helpers import make_batch, make_experiment, make_genes, make_labels, make_model


def compare(variant: str) -> dict:
    """Losses before, in and after an update, without dropout (whose draws differ), compiled and plain, in single precision."""
    numerics, experiment = choose_numerics("auto", precision="fp32"), make_experiment(variant)
    batch = make_batch(make_genes(), make_labels(), cells=8, neighbors=experiment.data.neighbors.most)
    batch, results, said = experiment.data.genes.pad(batch).to(numerics.device), [], []
    for compiled in (False, True):
        model = make_model(variant).to(numerics.device)
        with patch("scprint2.training.step.compile_model", lambda model: None):
            trainer = Trainer(model, experiment.training, numerics=numerics, seed=0, say=said.append)
        if compiled:
            compile_model(model.model)
            trainer._compiled = True  # a compiler that fails makes it fall back, and say so
        losses = [trainer.evaluate(batch, index=0)]
        model.model.train = lambda mode=True, model=model: model.model  # stays in evaluation
        losses.append(trainer.update(batch, step=0, learning_rate=1e-3)[:-1])
        losses.append(trainer.evaluate(batch, index=0))
        results.append(torch.stack(losses))
    plain, ours = results
    return {"apart": float(((ours - plain).abs() / (plain.abs() + 1e-2)).max()), "said": said}


def train(variant: str) -> dict:
    """The loss on the same views before and after five compiled updates, in half precision where there is a GPU."""
    numerics, experiment, said = choose_numerics("auto", precision="bf16"), make_experiment(variant), []
    trainer = Trainer(
        make_model(variant).to(numerics.device), experiment.training, numerics=numerics, seed=0, say=said.append
    )
    batch = make_batch(make_genes(), make_labels(), cells=8, neighbors=experiment.data.neighbors.most)
    batch = experiment.data.genes.pad(batch).to(numerics.device)
    before = float(trainer.evaluate(batch, index=0)[0])
    values = torch.stack([trainer.update(batch, step=step, learning_rate=3e-3) for step in range(5)])
    after = float(trainer.evaluate(batch, index=0)[0])
    return {"before": before, "after": after, "finite": bool(torch.isfinite(values).all()), "said": said}


if __name__ == "__main__":
    json.dump({variant: compare(variant) | train(variant) for variant in sys.argv[1:]}, sys.stdout)
