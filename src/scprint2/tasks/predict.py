"""Run the prediction jobs of one model or baseline: what `scprint2 predict` does."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
import torch
from anndata import AnnData

from scprint2.accounting import JobMeter
from scprint2.baselines.training_cells import TrainingCells
from scprint2.config.node import Node
from scprint2.data.corpus import Corpus
from scprint2.model.kernels import place_kernel
from scprint2.tasks.annotate import AnnotateSettings, predict_cell_types
from scprint2.tasks.denoise import DenoiseSettings, predict_denoised
from scprint2.tasks.embed import EmbedSettings, predict_embedding
from scprint2.tasks.inference import inference_numerics
from scprint2.tasks.layout import DONOR, SEEN, count_cells, lay_out_truths, read_edges
from scprint2.tasks.networks import NetworkSettings, predict_networks
from scprint2.tasks.predictions import align, write_prediction
from scprint2.training.checkpoint import PretrainedModel, load_model
from scprint2.training.cost import device_name
from scprint2.versions import installed_versions

LOG = logging.getLogger(__name__)
SETTINGS: Mapping[str, type[Node]] = {
    "denoise": DenoiseSettings,
    "embed": EmbedSettings,
    "annotate": AnnotateSettings,
    "networks": NetworkSettings,
}
MODEL_TASKS: Mapping[str, Callable[..., AnnData]] = {
    "denoise": predict_denoised,
    "embed": predict_embedding,
    "annotate": predict_cell_types,
    "networks": predict_networks,
}


@dataclass(frozen=True)
class PredictionJob:
    """One prediction to make: a job of `scprint2.config.tasks` with the files it needs.

    Attributes
    ----------
    cells
        The processed dataset.
    truths
        Known networks by name, where there are any: TSVs with the columns `regulator` and `target`, named by gene id. The
        first is Table 1's.
    """

    task: str
    role: str
    dataset: str
    settings: Mapping[str, Any]
    cells: str
    truths: Mapping[str, str] = field(default_factory=dict)


def read_jobs(jobs: str) -> list[PredictionJob]:
    """Read jobs from JSON text, or from a JSON file.

    Raises
    ------
    TypeError
        If a job lacks a field, or has one too many.
    """
    text = jobs if jobs.lstrip().startswith("[") else Path(jobs).read_text()
    return [PredictionJob(**job) for job in json.loads(text)]


@dataclass(frozen=True)
class Method:
    """What makes predictions: the first argument of its tasks' functions, and these functions by task.

    Attributes
    ----------
    failures
        What a task may raise that makes its prediction a failed one. A baseline's libraries raise whatever they like.
    """

    name: str
    source: PretrainedModel | TrainingCells
    tasks: Mapping[str, Callable[..., AnnData]]
    failures: tuple[type[Exception], ...] = (ValueError,)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        if isinstance(self.source, PretrainedModel):
            return device_of(self.source)
        return torch.device("cpu")


def load_method(*, model: Path | None, baseline: str | None, corpus: Path | None, device: str) -> Method:
    """Load a model folder, or a baseline with the training cells of a corpus.

    Raises
    ------
    ValueError
        If neither or both are given, or there is no such baseline.
    """
    if (model is None) == (baseline is None):
        raise ValueError("give either a model folder or the name of a baseline")
    if model is not None:
        return Method(str(model), load_pretrained(model, device=device), MODEL_TASKS)
    from scprint2.baselines import BASELINES  # here, because models need none of their libraries

    tasks = {task: entries[str(baseline)] for task, entries in BASELINES.items() if baseline in entries}
    if baseline is None or not tasks or corpus is None:
        known = sorted(name for entries in BASELINES.values() for name in entries)
        raise ValueError(
            f"a baseline needs a corpus manifest and one of the names {known}; found {baseline!r}, {corpus}"
        )
    return Method(baseline, training_cells(corpus), tasks, failures=(Exception,))


def load_pretrained(model: Path, *, device: str) -> PretrainedModel:
    """Load a model folder onto a device (`auto`: a GPU where there is one), with the attention that suits it."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    pretrained = load_model(model, device)
    numerics = inference_numerics(torch.device(device))
    kernel = place_kernel(pretrained.model, device=numerics.device, precision=numerics.precision)
    LOG.info(kernel.line)
    return pretrained


def device_of(pretrained: PretrainedModel) -> torch.device:
    """Where a model computes."""
    return next(pretrained.model.parameters()).device


def training_cells(corpus: Path) -> TrainingCells:
    """Return the cells of a corpus."""
    manifest = Corpus.load(corpus)
    return TrainingCells(manifest.genes, manifest.labels, manifest.shards)


def predict(
    method: Method, jobs: Iterable[PredictionJob], *, out: Path, seed: int, seen: pd.DataFrame | None = None
) -> list[Path]:
    """Make predictions and write each to `<out>/<task>/<dataset>.h5ad`, whole or not at all.

    `seen` lists test cells (`dataset`, `cell`) that the method was trained on; they are marked in `obs["seen"]`, and their number
    is `seen_cells` of what the prediction is about.

    What a method cannot do (its `failures`) is written as a prediction without content whose `failed` says why, so that its
    scores become failed rows and the other predictions are made.

    Raises
    ------
    ValueError
        If the method has no such task, or a setting is wrong.
    """
    planned = [(job, _check(job, method)) for job in jobs]
    written = []
    for job, settings in planned:
        known = frozenset[str]() if seen is None else frozenset(seen["cell"][seen["dataset"] == job.dataset])
        written.append(_predict_one(method, job, settings, out=out, seed=seed, seen=known))
    return written


def _check(job: PredictionJob, method: Method) -> Node:
    if job.task not in method.tasks:
        raise ValueError(f"{method.name} has no task {job.task!r}; it has {sorted(method.tasks)}")
    return SETTINGS[job.task].model_validate(dict(job.settings))


def _predict_one(
    method: Method, job: PredictionJob, settings: Node, *, out: Path, seed: int, seen: frozenset[str]
) -> Path:
    adata = anndata.read_h5ad(job.cells)
    about = {**asdict(job), "method": method.name, "seed": seed, "versions": installed_versions()}
    with JobMeter(str(method.device), name=device_name(method.device)) as meter:
        try:
            prediction = method.tasks[job.task](method.source, adata, settings=settings, seed=seed)
            if DONOR in adata.obs and prediction.n_obs:
                prediction.obs[DONOR] = align(prediction, adata).obs[DONOR].astype(str).astype("category")
            if job.truths:
                known = {name: read_edges(Path(path)) for name, path in job.truths.items()}
                prediction.uns["truth"] = lay_out_truths(known, genes=prediction.var_names)
        except method.failures as error:
            prediction = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)))
            about["failed"] = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            LOG.warning("%s on %s failed: %s", job.task, job.dataset, error)
    cost = meter.cost(cells=count_cells(prediction))
    if seen:
        about["seen_cells"] = len(seen)
        prediction.obs[SEEN] = prediction.obs_names.isin(seen)
    path = out / job.task / f"{job.dataset}.h5ad"
    write_prediction(path, prediction, about={**about, "seconds": cost.seconds, "cost": cost.to_json()})
    return path
