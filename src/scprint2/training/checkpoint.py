"""Checkpoints and model folders that a kill cannot spoil: safetensors and JSON, with checksums, put in place by one rename."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from scprint2 import MODEL_REVISION, __version__
from scprint2.data.corpus import Corpus
from scprint2.data.vocabulary import GeneVocabulary, LabelVocabulary
from scprint2.experiment import Experiment, build
from scprint2.files import read_json, sync, write_json
from scprint2.model.scprint2 import ScPrint2

FORMAT = 1
KEPT = 2  # the newest checkpoints to keep, besides the best ones that they refer to
FILES = ("model.safetensors", "optimizer.safetensors")
STATE = "state.json"
MODEL_FILES = ("model.safetensors", "experiment.json", "vocabulary.json", "history.csv", "cost.json", "record.json")


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well it is flushed to disk and takes the place of `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", suffix="-" + target.name, dir=target.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        for path in (*sorted(temporary.iterdir()), temporary):
            sync(path)
        _replace_folder(temporary, target)
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(source: Path, target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):  # a rename replaces an empty folder only
        discard_folder(target, then_rename=source)
    else:
        os.replace(source, target)


def discard_folder(folder: Path, *, then_rename: Path | None = None) -> None:
    """Remove a folder in one move, so that a kill leaves no half of it under its name; put another one in its place."""
    grave = Path(tempfile.mkdtemp(prefix=".tmp-old-", suffix="-" + folder.name, dir=folder.parent))
    os.replace(folder, grave)
    if then_rename is not None:
        os.replace(then_rename, folder)
    shutil.rmtree(grave, ignore_errors=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors and return the sha256 of the file.

    Raises
    ------
    FloatingPointError
        If a tensor holds a value that is not finite.
    """
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    spoiled = [name for name, tensor in copies.items() if not torch.isfinite(tensor).all()]
    if spoiled:
        raise FloatingPointError(f"{path.name}: not saved, values that are not finite in {spoiled[:5]}")
    content = safetensors.torch.save(copies)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path, *, sha256: str | None) -> dict[str, Tensor]:
    """Read tensors.

    Raises
    ------
    ValueError
        If the file is missing, is not a safetensors file, or has another checksum.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{path} is damaged: sha256 {found}, recorded {sha256}")
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None


def corpus_sha256(corpus: Corpus) -> str:
    """Return the hash of a corpus' content: its shards, genes, labels and split, wherever they lie."""
    shards = [(shard.dataset, shard.organism, shard.header_sha256) for shard in corpus.shards]
    parts = {"shards": shards, "genes": corpus.genes.to_json(), "labels": corpus.labels.to_json()}
    return hashlib.sha256(json.dumps(parts | {"validation_share": corpus.validation_share}).encode()).hexdigest()


def run_key(experiment: Mapping[str, Any], *, seed: int, corpus_sha256: str, embedding: Tensor) -> str:
    """Return the hash of everything that decides which numbers a training produces."""
    table = hashlib.sha256(embedding.detach().cpu().contiguous().numpy().tobytes()).hexdigest()
    parts = {
        "experiment": experiment,
        "seed": seed,
        "revision": MODEL_REVISION,
        "corpus": corpus_sha256,
        "embedding": table,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A training after some step.

    Attributes
    ----------
    step
        Updates done.
    model
        Weights by name, frozen ones included.
    optimizer
        Its state, `<parameter>/<quantity>`.
    state
        Everything else (JSON); `best_step` names the checkpoint with the lowest validation loss.
    """

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointStore:
    """The checkpoints of one run (one key) in one folder."""

    def __init__(self, folder: Path, *, key: str) -> None:
        self._folder = folder
        self._key = key
        self.rejected: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        for rest in folder.glob(".tmp-*"):
            shutil.rmtree(rest, ignore_errors=True)

    def path(self, step: int) -> Path:
        """Return the folder of the checkpoint of a step."""
        return self._folder / f"ckpt-{step:08d}"

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those that are no longer needed."""
        with atomic_folder(self.path(checkpoint.step)) as folder:
            contents = (checkpoint.model, checkpoint.optimizer)
            checksums = {
                name: write_tensors(folder / name, tensors) for name, tensors in zip(FILES, contents, strict=True)
            }
            header = {"format": FORMAT, "key": self._key, "step": checkpoint.step, "sha256": checksums}
            (folder / STATE).write_text(json.dumps(header | {"state": checkpoint.state}))
        self._prune()

    def load(self, step: int) -> Checkpoint:
        """Read the checkpoint of a step.

        Raises
        ------
        ValueError
            If it is missing, damaged, or of another run.
        """
        folder = self.path(step)
        header = self._header(folder)
        model, optimizer = (read_tensors(folder / name, sha256=header["sha256"][name]) for name in FILES)
        return Checkpoint(step, model, optimizer, header["state"])

    def _header(self, folder: Path) -> dict[str, Any]:
        try:
            header = json.loads((folder / STATE).read_text())
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{folder}: no readable {STATE} ({error})") from None
        found = [header.get(name) if isinstance(header, dict) else None for name in ("format", "key")]
        if found != [FORMAT, self._key]:
            raise ValueError(f"{folder} belongs to another run or version: format and key are {found}")
        return header

    def newest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole; those before it are set aside and named in `rejected`."""
        for step in sorted(self._steps(), reverse=True):
            try:
                return self.load(step)
            except ValueError as error:
                self.rejected.append(str(error))
                self._set_aside(step)
        return None

    def _set_aside(self, step: int) -> None:
        target = Path(tempfile.mkdtemp(prefix="damaged-", suffix=f"-{step:08d}", dir=self._folder))
        os.replace(self.path(step), target)

    def _steps(self) -> list[int]:
        return sorted(int(path.name.removeprefix("ckpt-")) for path in self._folder.glob("ckpt-*"))

    def _prune(self) -> None:
        newest = self._steps()[-KEPT:]
        needed = set(newest)
        for step in newest:
            try:
                needed.add(self._header(self.path(step))["state"].get("best_step"))
            except ValueError:
                return  # a damaged one: keep all
        for step in set(self._steps()) - needed:
            discard_folder(self.path(step))

    def keep_only(self, steps: set[int]) -> None:
        """Remove all checkpoints but some, when a training is over."""
        for step in set(self._steps()) - steps:
            discard_folder(self.path(step))


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return the state of the optimizer, each tensor named by its parameter."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{quantity}": value
        for parameter, state in optimizer.state.items()
        for quantity, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, quantity = key.rpartition("/")
        by_name.setdefault(name, {})[quantity] = value
    names = {parameter: name for name, parameter in model.named_parameters()}
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    state = {position: by_name[name] for position, name in enumerate(order) if name in by_name}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


@dataclass(frozen=True)
class PretrainedModel:
    """A model folder in memory.

    Attributes
    ----------
    model
        The network, in evaluation mode on the device that was asked for.
    genes, labels
        What its inputs and outputs mean.
    record
        How it came about: corpus, seed, source of the gene embedding, precision, checksums.
    """

    model: ScPrint2
    genes: GeneVocabulary
    labels: LabelVocabulary
    experiment: Experiment
    record: dict[str, Any]


@dataclass(frozen=True)
class ModelParts:
    """What a model folder holds: weights, configuration and vocabulary, and how they came about (CSV text and JSON values)."""

    weights: Mapping[str, Tensor]
    experiment: Experiment
    genes: GeneVocabulary
    labels: LabelVocabulary
    history: str
    cost: Mapping[str, Any]
    record: Mapping[str, Any]


def publish_model(out: Path, parts: ModelParts) -> None:
    """Write a model folder and put it in place by one rename; an older one is replaced."""
    with atomic_folder(out) as folder:
        checksums = {"model.safetensors": write_tensors(folder / "model.safetensors", parts.weights)}
        write_json(folder / "experiment.json", parts.experiment.model_dump(mode="json"))
        vocabulary = json.dumps({"genes": parts.genes.to_json(), "labels": parts.labels.to_json()})
        (folder / "vocabulary.json").write_text(vocabulary)
        checksums["vocabulary.json"] = hashlib.sha256(vocabulary.encode()).hexdigest()
        (folder / "history.csv").write_text(parts.history)
        write_json(folder / "cost.json", parts.cost)
        write_json(folder / "record.json", {"format": FORMAT, **parts.record, "sha256": checksums})


def load_model(folder: str | Path, device: str | torch.device = "cpu") -> PretrainedModel:
    """Read a model folder; every weight must be there, with its shape, and none besides.

    Raises
    ------
    ValueError
        If the folder is missing, incomplete, damaged, or of another format.
    """
    folder = Path(folder)
    record = _read_record(folder)
    weights = read_tensors(folder / "model.safetensors", sha256=record["sha256"]["model.safetensors"])
    content = (folder / "vocabulary.json").read_bytes()
    if hashlib.sha256(content).hexdigest() != record["sha256"]["vocabulary.json"]:
        raise ValueError(f"{folder / 'vocabulary.json'} is damaged: its sha256 is not the recorded one")
    vocabulary = json.loads(content)
    genes, labels = GeneVocabulary.from_json(vocabulary["genes"]), LabelVocabulary.from_json(vocabulary["labels"])
    experiment = Experiment.model_validate(read_json(folder / "experiment.json"))
    placeholder = torch.zeros(len(genes), experiment.model.dim)
    built = build(experiment, genes=genes, labels=labels, gene_embedding=placeholder, seed=0, tables="weights")
    model = built.model
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"{folder}: the weights do not fit the model of experiment.json; the folder was written by scprint2 "
            f"{record.get('scprint2_version')}, this is {__version__}. {error}"
        ) from None
    return PretrainedModel(model.to(device).eval(), genes, labels, experiment, record)


def _read_record(folder: Path) -> dict[str, Any]:
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} is not a model folder: {missing} missing. `scprint2 pretrain --out` writes one.")
    try:
        record = read_json(folder / "record.json")
        found = record["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'record.json'} is not readable: {error!r}") from None
    if found != FORMAT:
        raise ValueError(
            f"{folder} has format {found!r}; this version of scprint2 reads format {FORMAT}. Train the model again."
        )
    return record
