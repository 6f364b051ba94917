"""Fine-tuning: a trained model learns from one's own labelled cells, by its XPressor alone or by all of its weights."""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Int
from torch import Tensor

from scprint2 import MODEL_REVISION, __version__
from scprint2.config.finetuning import FinetuneSettings
from scprint2.data.batch import CellBatch
from scprint2.experiment import Experiment, TrainingModel, build
from scprint2.losses.domain import DomainDiscrepancy
from scprint2.model.xpressor import XPressor
from scprint2.tasks.inference import Reader
from scprint2.tasks.own_cells import read_cells
from scprint2.tasks.own_labels import encode_domains, encode_labels
from scprint2.training.accuracy import measure_accuracy
from scprint2.training.checkpoint import ModelParts, PretrainedModel, load_model, publish_model
from scprint2.training.cost import CostMeter
from scprint2.training.loop import FiniteGuard
from scprint2.training.step import Trainer, choose_numerics

LOG = logging.getLogger(__name__)
CELLS, GENERATED = "cells", "generated"  # the views of a fine-tuning
LEAST_CELLS = 20


def finetune(
    model: str | Path,
    adata: AnnData,
    *,
    labels: Mapping[str, str],
    out: str | Path,
    domain_key: str | None = None,
    organism: str | None = None,
    settings: FinetuneSettings | None = None,
    device: str = "auto",
) -> PretrainedModel:
    """Fine-tune a model on labelled cells and publish its folder, which every verb takes as any other model.

    The losses are those of the model's pre-training that read whole cells: classification, generation from the cell embeddings,
    and the divergence of a VAE; and, where domains are given, their maximum mean discrepancy (eq. 21). A label that the model
    does not know counts as its most specific ancestor that the model knows.

    Parameters
    ----------
    model
        Folder of a trained model.
    adata
        Raw counts with labels in obs; see `scprint2.tasks.own_cells.read_cells`.
    labels
        Class of the model to column of obs, such as {"cell_type": "celltype"}: ontology ids, names or synonyms.
    domain_key
        Column of obs with the batch (or dataset, or organism) whose traces are to leave the embedding of cell types.

    Raises
    ------
    ValueError
        If a column or class is missing, no label is known, there are too few cells, or the model has no XPressor and `weights`
        asks for it.
    FloatingPointError
        If losses or gradients are not finite too often.
    """
    settings = settings or FinetuneSettings()
    numerics = choose_numerics(device, precision="bf16")
    parent = load_model(model, numerics.device)
    own = read_cells(parent, adata, organism=organism)
    codes, report = encode_labels(parent, adata, labels)
    domains = encode_domains(adata, domain_key)
    run = _FineTuning(parent, Reader(parent, own.cells), codes=codes, domains=domains, settings=settings)
    run.train()
    told = {
        "parent": {name: parent.record.get(name) for name in ("corpus", "seed", "sha256")},
        "settings": vars(settings) | {"labels": dict(labels), "domain_key": domain_key},
        "cells": {"organism": own.organism, "counts": own.place, "trained": len(run.learnt), "held_out": len(run.held)},
        "labels": report.to_dict("records"),
    }
    run.publish(Path(out), told)
    return load_model(out, numerics.device)


def finetuning_experiment(parent: Experiment, settings: FinetuneSettings) -> Experiment:
    """Return the experiment of a fine-tuning: its parent's model, seen whole, with those of its losses that read whole cells.

    Raises
    ------
    ValueError
        If the parent was trained without labels.
    """
    decoded = {name for name, view in parent.views.items() if view.kind == "decode"}
    losses: dict[str, dict[str, Any]] = {}
    for name, loss in parent.losses.items():
        if loss.kind in ("hierarchical", "kl"):
            losses[name] = loss.model_dump() | {"views": [CELLS]}
        elif decoded.intersection(loss.views):
            losses[name] = loss.model_dump() | {"views": [GENERATED]}
    if not any(loss["kind"] == "hierarchical" for loss in losses.values()):
        raise ValueError(
            f"the model was trained without labels: its losses are {list(parent.losses)}. Take another model."
        )
    views: dict[str, dict[str, Any]] = {CELLS: {"kind": "whole"}}
    if decoded:
        views[GENERATED] = {"kind": "decode", "source": CELLS}
    values = parent.model_dump()
    values["training"] |= {"batch_size": settings.batch_size, "epochs": settings.epochs, "warmup_steps": 0}
    values["training"]["optimizer"] |= {"learning_rate": settings.learning_rate}
    return Experiment.model_validate(values | {"views": views, "losses": losses})


class _FineTuning:
    """The state of a fine-tuning."""

    def __init__(
        self,
        parent: PretrainedModel,
        reader: Reader,
        *,
        codes: Int[np.ndarray, "cell label"],
        domains: Int[np.ndarray, " cell"] | None,
        settings: FinetuneSettings,
    ) -> None:
        self.parent, self.reader, self.settings = parent, reader, settings
        self.codes, self.domains = torch.from_numpy(codes), None if domains is None else torch.from_numpy(domains)
        self.selector = reader.top_expressed(settings.max_genes or parent.experiment.data.genes.max_genes)
        self.learnt, self.held = split_rows(len(codes), share=settings.validation_share, seed=settings.seed)
        self.experiment = finetuning_experiment(parent.experiment, settings)
        self.numerics = choose_numerics(str(reader.device), precision=parent.experiment.training.precision)
        self.model = self._build()
        training, seed = self.experiment.training, settings.seed
        self.trainer = Trainer(self.model, training, numerics=self.numerics, seed=seed, say=LOG.info)
        self.meter = CostMeter(self.numerics.device, kernel=self.trainer.kernel.name)
        self.names = ("loss", *self.trainer.terms)
        self.guard, self.step = FiniteGuard(), 0
        self.rows: list[dict[str, Any]] = []
        self.best_step, self.best = 0, self._weights()
        self.accuracy = {"before": self._measure()}

    def _build(self) -> TrainingModel:
        """Make the model with the parent's weights, of which the chosen ones learn."""
        parent, experiment = self.parent, self.experiment
        placeholder = torch.zeros(len(parent.genes), experiment.model.dim)
        model = build(
            experiment, genes=parent.genes, labels=parent.labels, gene_embedding=placeholder, seed=0, tables="weights"
        )
        model.model.load_state_dict(parent.model.state_dict())
        if self.settings.weights == "xpressor":
            choose_xpressor(model)
        if self.domains is not None:
            token = parent.labels.classes.index("cell_type")
            model.losses = {**model.losses, "domains": DomainDiscrepancy(CELLS, token=token)}
            model.weights["domains"] = self.settings.domain_weight
        return model.to(self.numerics.device)

    def batches(self, rows: Int[np.ndarray, " cell"]) -> Iterator[CellBatch]:
        """Yield the cells of some rows, in this order."""
        size = self.settings.batch_size
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            place = torch.from_numpy(part)
            labels = self.codes[place].to(self.reader.device)
            domains = None if self.domains is None else self.domains[place].to(self.reader.device)
            yield replace(self.reader.batch(part, self.selector), labels=labels, domains=domains)

    def train(self) -> None:
        """Train all epochs and keep the weights of the best."""
        self._validate(epoch=0)
        for epoch in range(1, self.settings.epochs + 1):
            order = np.random.default_rng([self.settings.seed, epoch]).permutation(self.learnt)
            sums, cells = torch.zeros(len(self.names)), 0
            for batch in self.batches(order):
                self.meter.start()
                rate = self.settings.learning_rate
                values = self.trainer.update(batch, step=self.step, learning_rate=rate).cpu()
                self.meter.add_step(cells=len(batch))
                self.step += 1
                told = dict(zip((*self.names, "gradient_norm"), values.tolist(), strict=True))
                if skipped := self.guard.look(self.step, told):
                    LOG.warning(skipped)
                    continue
                sums, cells = sums + values[:-1] * len(batch), cells + len(batch)
            self._add_row("train", (sums / max(1, cells)).tolist(), epoch=epoch)
            self._validate(epoch=epoch)
        self.model.model.load_state_dict(self.best)
        self.accuracy["after"] = self._measure()

    def _validate(self, *, epoch: int) -> None:
        self.meter.start()
        sums = torch.zeros(len(self.names), device=self.numerics.device)
        for index, batch in enumerate(self.batches(self.held)):
            sums += self.trainer.evaluate(batch, index=index) * len(batch)
        self.meter.add_validation()
        means = (sums / len(self.held)).tolist()
        lowest = min((row["loss"] for row in self.rows if row["split"] == "validation"), default=float("inf"))
        if means[0] < lowest:
            self.best_step, self.best = self.step, self._weights()
        self._add_row("validation", means, epoch=epoch)
        LOG.info("epoch %d of %d: validation loss %.4f", epoch, self.settings.epochs, means[0])

    def _add_row(self, split: str, values: Sequence[float], *, epoch: int) -> None:
        row = {"step": self.step, "epoch": epoch, "split": split, **dict(zip(self.names, values, strict=True))}
        self.rows.append(row | {"learning_rate": self.settings.learning_rate, "seconds": round(self.meter.seconds, 3)})

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.model.model.state_dict().items()}

    def _measure(self) -> Mapping[str, Mapping[str, float | int]]:
        batches = self.batches(self.held)
        return measure_accuracy(self.model.model, batches, self.parent.labels, numerics=self.numerics)

    def publish(self, out: Path, told: Mapping[str, Any]) -> None:
        """Write the model folder."""
        history = io.StringIO()
        pd.DataFrame(self.rows).to_csv(history, index=False)
        weights = list(self.model.model.parameters())
        record = {
            **{name: self.parent.record.get(name) for name in ("gene_embedding", "corpus", "requested_precision")},
            "scprint2_version": __version__,
            "model_revision": MODEL_REVISION,
            "seed": self.settings.seed,
            "precision": self.numerics.precision,
            "epochs": self.settings.epochs,
            "steps": self.step,
            "best_step": self.best_step,
            "best_validation_loss": min(row["loss"] for row in self.rows if row["split"] == "validation"),
            "validation_accuracy": self.accuracy["after"],
            "skipped_updates": self.guard.total,
            "micro_batches": self.trainer.micro_batches,
            "recomputed_activations": self.trainer.recomputes,
            "parameters": {
                "total": sum(weight.numel() for weight in weights),
                "trained": sum(weight.numel() for weight in weights if weight.requires_grad),
            },
            "finetuned": {**told, "accuracy_before": self.accuracy["before"]},
        }
        cost = self.meter.summary(step=self.step, steps_per_epoch=self.step // self.settings.epochs)
        parts = (self.parent.experiment, self.parent.genes, self.parent.labels, history.getvalue(), cost, record)
        publish_model(out, ModelParts(self.model.model.state_dict(), *parts))


def choose_xpressor(model: TrainingModel) -> None:
    """Let the layers of the XPressor alone learn.

    Raises
    ------
    ValueError
        If the model has none.
    """
    pooling = model.model.cell_pooling
    if not isinstance(pooling, XPressor):
        raise ValueError(
            "the model has no XPressor (its cell_pooling is another), whose layers could be fine-tuned alone; fine-tune all "
            "weights (weights='all', --weights all), or take a model such as v2_small."
        )
    model.model.requires_grad_(requires_grad=False)
    pooling.requires_grad_(requires_grad=True)


def split_rows(cells: int, *, share: float, seed: int) -> tuple[Int[np.ndarray, " learnt"], Int[np.ndarray, " held"]]:
    """Rows to learn from and rows held out, in file order.

    Raises
    ------
    ValueError
        If there are fewer than 20 cells.
    """
    if cells < LEAST_CELLS:
        raise ValueError(
            f"there are {cells} cells; fine-tuning needs {LEAST_CELLS} at least, and should have hundreds."
        )
    order = np.random.default_rng([seed, 0]).permutation(cells)
    held = max(1, round(share * cells))
    return np.sort(order[held:]), np.sort(order[:held])
