"""Pre-training: epochs of updates and a validation, resumed exactly wherever it was stopped."""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from scprint2 import MODEL_REVISION, __version__
from scprint2.data.batch import CellBatch
from scprint2.data.corpus import Corpus
from scprint2.data.gene_embeddings import GeneEmbedding
from scprint2.data.loader import BatchLoader, ValidationLoader
from scprint2.experiment import Experiment, build
from scprint2.training.accuracy import measure_accuracy
from scprint2.training.checkpoint import (
    Checkpoint,
    CheckpointStore,
    ModelParts,
    corpus_sha256,
    optimizer_tensors,
    publish_model,
    restore_optimizer,
    run_key,
)
from scprint2.training.cost import CostMeter
from scprint2.training.progress import History, ProgressReport, published_history
from scprint2.training.schedule import is_finished, learning_rate, plateau_state
from scprint2.training.step import Trainer, choose_numerics
from scprint2.training.work import StopRequests, count_start, forget_starts, locked_folder

CHECKPOINT_SECONDS = 600.0
LOG_STEPS = 50  # most steps between two rows of the history, and between two looks at the losses of a GPU
LOGS_PER_EPOCH = 20
SKIPS_IN_A_ROW = 3
SKIPPED_SHARE = 0.001
LEAST_SKIPS = 3  # below so many, a share says nothing
DISK_BYTES_PER_SECOND = 50e6  # a cautious guess, until the first save was timed


def pretrain(
    experiment: Experiment,
    corpus: Corpus,
    *,
    seed: int,
    work: str | Path,
    out: str | Path,
    gene_embedding: GeneEmbedding,
    budget_seconds: float | None = None,
    device: str = "auto",
) -> None:
    """Train a model and publish its folder; a run that was stopped goes on where its last checkpoint is.

    Parameters
    ----------
    work
        Folder of checkpoints and logs; what is in it decides where the training starts.
    out
        Folder of the finished model, put in place by one rename.
    budget_seconds
        Wall-clock seconds after which the state must be saved; None for no limit.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    Unfinished
        If the budget is over or a signal asked to stop; the state is saved.
    RuntimeError
        If another process trains in `work`, or three starts made no progress.
    FloatingPointError
        If losses or gradients are not finite too often.
    MemoryError
        If the batch does not fit and cannot be split further.
    """
    work = Path(work)
    with locked_folder(work), StopRequests(budget_seconds) as stop:
        with closing(
            Pretraining(
                experiment, corpus, seed=seed, work=work, gene_embedding=gene_embedding, device=device, stop=stop
            )
        ) as run:
            run.train()
            run.publish(Path(out))
        forget_starts(work)


class FiniteGuard:
    """Counts the updates that were skipped because a loss or the gradient was not finite."""

    def __init__(self, *, in_a_row: int = 0, total: int = 0) -> None:
        self.in_a_row = in_a_row
        self.total = total

    def look(self, step: int, values: dict[str, float]) -> str | None:
        """Judge the losses of one step; return a line to show if its update was skipped.

        Raises
        ------
        FloatingPointError
            If it is the third in a row, or more than 0.1 % of all steps (and at least three) were skipped.
        """
        spoiled = [name for name, value in values.items() if not math.isfinite(value)]
        if not spoiled:
            self.in_a_row = 0
            return None
        self.in_a_row += 1
        self.total += 1
        message = f"step {step}: {', '.join(spoiled)} not finite, the update with batch {step - 1} was skipped"
        if self.in_a_row >= SKIPS_IN_A_ROW or self.total >= max(LEAST_SKIPS, SKIPPED_SHARE * step):
            raise FloatingPointError(
                f"{message}. {self.in_a_row} in a row and {self.total} of {step} steps: the training diverges. The last "
                "checkpoint is intact; lower `training.optimizer.learning_rate` or `training.clip_norm`, or look at the cells "
                "of that batch."
            )
        return message


class Pretraining:
    """One process' part of a training: set up from the last checkpoint, carried on until the end or until asked to stop."""

    def __init__(
        self,
        experiment: Experiment,
        corpus: Corpus,
        *,
        seed: int,
        work: Path,
        gene_embedding: GeneEmbedding,
        device: str,
        stop: StopRequests,
    ) -> None:
        self.experiment, self.training = experiment, experiment.training
        self.corpus, self.seed, self.gene_embedding, self.stop = corpus, seed, gene_embedding, stop
        self.numerics = choose_numerics(device, precision=self.training.precision)
        embedding = torch.as_tensor(gene_embedding.values)
        self.labels = corpus.select_labels(experiment.data.classes)
        self.model = build(experiment, genes=corpus.genes, labels=self.labels, gene_embedding=embedding, seed=seed)
        self.model.to(self.numerics.device)
        self.report = ProgressReport(total_steps=self.training.epochs * self.training.steps_per_epoch)
        self.trainer = Trainer(self.model, self.training, numerics=self.numerics, seed=seed, say=self.report.say)
        self.report.say(self.trainer.kernel.line)
        self.names = ("loss", *self.trainer.terms, "gradient_norm")
        self.corpus_sha256 = corpus_sha256(corpus)
        key = run_key(
            experiment.model_dump(mode="json"), seed=seed, corpus_sha256=self.corpus_sha256, embedding=embedding
        )
        self.folder = work / key[:16]
        self.store = CheckpointStore(self.folder, key=key)
        self._restore(self.store.newest())
        count_start(work, key=f"{key}/{len(self.validation_losses)}", step=self.step)
        self.history = History(self.folder, terms=self.names[1:], step=self.step)
        self.save_seconds = 3 * sum(t.nbytes for t in self.model.model.state_dict().values()) / DISK_BYTES_PER_SECOND
        self.last_save = time.monotonic()
        self.unread: list[Tensor] = []
        self.last_loss: float | None = None

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        for line in self.store.rejected:
            self.report.say(f"a checkpoint was set aside: {line}")
        state: dict[str, Any] = {} if checkpoint is None else checkpoint.state
        self.step = 0 if checkpoint is None else checkpoint.step
        self.validation_losses: list[float] = list(state.get("validation_losses", []))
        self.best_step: int | None = state.get("best_step")
        self.interval: list[list[float]] = [list(row) for row in state.get("interval", [])]
        self.guard = FiniteGuard(**state.get("skipped", {}))
        self.trainer.micro_batches = int(state.get("micro_batches", 1))
        self.trainer.recomputes = bool(state.get("recomputes", False))
        kernel = self.trainer.kernel.name
        self.meter = CostMeter(self.numerics.device, kernel=kernel, saved=state.get("cost"), step=self.step)
        self.saved: tuple[int, int] | None = None
        if checkpoint is not None:
            self.model.model.load_state_dict(checkpoint.model, strict=True)
            restore_optimizer(self.trainer.optimizer, self.model.model, checkpoint.optimizer)
            self.saved = (self.step, len(self.validation_losses))
            self.report.say(f"resumed after step {self.step:,}")

    @property
    def epoch(self) -> int:
        """Number of the epoch under way, counted from 1."""
        return len(self.validation_losses) + 1

    def train(self) -> None:
        """Train to the end.

        Raises
        ------
        Unfinished
            If asked to stop; the state is saved.
        """
        while not is_finished(self.validation_losses, training=self.training):
            self._train_epoch()
            self._validate()
            self._save()

    @cached_property
    def batches(self) -> BatchLoader:
        """Training batches by step."""
        return BatchLoader(
            self.corpus,
            self.experiment.data,
            batch_size=self.training.batch_size,
            seed=self.seed,
            device=self.numerics.device,
            threads=self.loader_threads,
        )

    @cached_property
    def validation_batches(self) -> ValidationLoader:
        """Validation batches, the same in every epoch."""
        return ValidationLoader(
            self.corpus,
            self.experiment.data,
            batches=self.training.validation_batches,
            batch_size=self.training.batch_size,
            device=self.numerics.device,
            threads=self.loader_threads,
        )

    @property
    def loader_threads(self) -> int:
        """Threads that read ahead while a GPU computes; the CPU is busy with the model."""
        return 2 if self.numerics.device.type == "cuda" else 0

    def _train_epoch(self) -> None:
        end = self.epoch * self.training.steps_per_epoch
        if self.step == end:
            return
        with closing(cast(Generator[CellBatch], self.batches.prefetch(self.step))) as batches:
            self.meter.start()
            for batch in batches:
                rate = learning_rate(self.step, self.validation_losses, training=self.training)
                self.unread.append(self.trainer.update(batch, step=self.step, learning_rate=rate))
                self.step += 1
                self._log(rate, last=self.step == end)
                self.meter.add_step(cells=len(batch))
                self._stop_if_asked()
                if time.monotonic() - self.last_save >= CHECKPOINT_SECONDS:
                    self._save()
                self.meter.start()
                if self.step == end:
                    break

    def _log(self, rate: float, *, last: bool) -> None:
        every = max(1, min(LOG_STEPS, self.training.steps_per_epoch // LOGS_PER_EPOCH))
        due = last or self.step % every == 0
        if due or self.numerics.device.type == "cpu":
            self._read_losses()
        if due:
            self._add_row("train", mean_of_finite(self.interval), rate)
            self.interval = []
        self.report.advance(self.step, loss=self.last_loss, cells_per_second=self.meter.cells_per_second)

    def _read_losses(self) -> None:
        """Fetch the losses that are still on the device: the one place where a step may wait for it."""
        if not self.unread:
            return
        rows = torch.stack(self.unread).tolist()
        first = self.step - len(rows) + 1
        self.unread = []
        for step, row in enumerate(rows, start=first):
            message = self.guard.look(step, dict(zip(self.names, row, strict=True)))
            if message is not None:
                self.report.say(message)
            self.interval.append(row)
            self.last_loss = row[0]

    def _add_row(self, split: str, values: Sequence[float], rate: float) -> None:
        row = {"step": self.step, "epoch": self.epoch, "split": split, **dict(zip(self.names, values, strict=True))}
        self.history.add(row | {"learning_rate": rate, "seconds": round(self.meter.seconds, 3)})

    def _validate(self) -> None:
        self.meter.start()
        sums, cells = torch.zeros(len(self.names) - 1, device=self.numerics.device), 0
        for index, batch in enumerate(self.validation_batches):
            sums += self.trainer.evaluate(batch, index=index) * len(batch)
            cells += len(batch)
            self._stop_if_asked()
        means = (sums / cells).tolist()
        self.meter.add_validation()
        if not math.isfinite(means[0]):
            raise FloatingPointError(
                f"epoch {self.epoch}: the validation loss is {means[0]}; the last checkpoint is intact"
            )
        rate = learning_rate(self.step - 1, self.validation_losses, training=self.training)
        self._add_row("validation", [*means, math.nan], rate)
        self.report.say(f"epoch {self.epoch}: validation loss {means[0]:.4f}, learning rate {rate:.2e}")
        self.validation_losses.append(means[0])
        if plateau_state(self.validation_losses, patience=self.training.schedule.patience).epochs_since_best == 0:
            self.best_step = self.step

    def _stop_if_asked(self) -> None:
        reason = self.stop.reason(reserve_seconds=2 * (self.save_seconds + self.meter.step_seconds))
        if reason is not None:
            self._save()
            self.report.say(
                f"stopped after step {self.step:,}: {reason}; the state is saved, run the same command again"
            )
            raise reason

    def _save(self) -> None:
        """Write a checkpoint, unless this very state is saved already."""
        current = (self.step, len(self.validation_losses))
        if self.saved == current:
            return
        self._read_losses()
        begin = time.monotonic()
        self.history.sync()
        state = {
            "validation_losses": self.validation_losses,
            "best_step": self.best_step,
            "interval": self.interval,
            "skipped": {"in_a_row": self.guard.in_a_row, "total": self.guard.total},
            "micro_batches": self.trainer.micro_batches,
            "recomputes": self.trainer.recomputes,
            "cost": self.meter.state(step=self.step),
        }
        optimizer = optimizer_tensors(self.trainer.optimizer, self.model.model)
        self.store.save(Checkpoint(self.step, self.model.model.state_dict(), optimizer, state))
        self.saved = current
        self.last_save = time.monotonic()
        self.save_seconds = self.last_save - begin

    def publish(self, out: Path) -> None:
        """Publish the weights with the lowest validation loss, or the initial ones where nothing was to be trained."""
        weights = self.model.model.state_dict() if self.best_step is None else self.store.load(self.best_step).model
        accuracy = {} if self.best_step is None else self._measure_accuracy(weights)
        losses = self.validation_losses
        record = {
            "scprint2_version": __version__,
            "model_revision": MODEL_REVISION,
            "seed": self.seed,
            "gene_embedding": self.gene_embedding.source,
            "corpus": {"name": self.corpus.name, "sha256": self.corpus_sha256},
            "precision": self.numerics.precision,
            "requested_precision": self.training.precision,
            "epochs": len(losses),
            "steps": self.step,
            "best_step": self.best_step,
            "best_validation_loss": min(losses) if losses else None,
            "validation_accuracy": accuracy,
            "skipped_updates": self.guard.total,
            "micro_batches": self.trainer.micro_batches,
            "recomputed_activations": self.trainer.recomputes,
            "parameters": {
                "total": sum(weight.numel() for weight in self.model.model.parameters()),
                "trained": sum(weight.numel() for weight in self.model.model.parameters() if weight.requires_grad),
            },
        }
        cost = self.meter.summary(step=self.step, steps_per_epoch=self.training.steps_per_epoch)
        history = published_history(self.history.path)
        parts = ModelParts(weights, self.experiment, self.corpus.genes, self.labels, history, cost, record)
        publish_model(out, parts)
        self.store.keep_only({self.step, self.best_step or 0})

    def _measure_accuracy(self, weights: Mapping[str, Tensor]) -> Mapping[str, Mapping[str, float | int]]:
        """Accuracy of these weights, which the model has from then on, on the validation cells."""
        self.meter.start()
        self.model.model.load_state_dict(weights, strict=True)
        found = measure_accuracy(self.model.model, self.validation_batches, self.labels, numerics=self.numerics)
        self.meter.add_validation()
        return found

    def close(self) -> None:
        """Leave the terminal and the logs in order."""
        self.report.close()
        self.history.close()


def mean_of_finite(rows: Sequence[Sequence[float]]) -> list[float]:
    """Mean of each column over the rows in which every value is finite; NaN where there is none."""
    finite = [row for row in rows if all(math.isfinite(value) for value in row)]
    return [sum(column) / len(finite) for column in zip(*finite, strict=True)] if finite else [math.nan] * len(rows[0])
