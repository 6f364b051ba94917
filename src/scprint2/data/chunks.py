"""One job's share of the training datasets: each is fetched, preprocessed and written as a shard, and done only once.

A finished dataset has a record, `done.json`, beside its shard, with a key of everything that its content depends on. A job
that was killed begins with the dataset that has none. What can be wrong with one dataset (ValueError) is reported with its
reason and the others go on; a full disk, lack of memory or a mistake in the program end the job.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from scprint2.data.download import sha256_of
from scprint2.data.genes import GeneTable
from scprint2.data.label_names import LabelNames
from scprint2.data.labels import NO_LABELS
from scprint2.data.ontology_sources import GUIDE, guide_version
from scprint2.data.preprocess import PreprocessingConfig, processed
from scprint2.data.quality_record import write_quality_record
from scprint2.data.raw_sources import RawSource
from scprint2.data.registry import Dataset
from scprint2.data.shard_writer import write_processed_shard
from scprint2.files import read_json, write_json

LOG = logging.getLogger(__name__)
DATA_REVISION = 1  # raised when the same input gives another shard
NAMES = ("gene_id", "symbol", "aliases", "chromosome")  # of a gene: what mapping and quality control read
FAILED_SHARE = 0.05  # of a chunk or a corpus; a public collection has a few broken files, more are a mistake of ours
FAILED_LEAST = 1  # of however few: one broken file among 16 must not stop a corpus
LOCK_SECONDS = 5.0  # in which the processes that a killed job has started end, too, and give its lock back


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk's files go.

    Attributes
    ----------
    raw
        Folder of raw files, `<dataset>.h5ad`.
    processed
        Folder of processed datasets, `<dataset>/shard` and what describes them.
    scratch
        Folder for what may be deleted when no job runs.
    """

    raw: Path
    processed: Path
    scratch: Path


@dataclass(frozen=True)
class Recipe:
    """What shards are made with.

    Attributes
    ----------
    tables
        Organism to its gene table.
    labels
        Dataset to what its own labels stand for, where it has a table of them.
    ontologies
        The user's own ontologies, prefix to file.
    """

    settings: PreprocessingConfig
    validation_share: float
    tables: Mapping[str, GeneTable]
    labels: Mapping[str, LabelNames]
    ontologies: Mapping[str, str]

    def names(self, dataset: Dataset) -> LabelNames:
        """What the labels of a dataset stand for."""
        return self.labels.get(dataset.name, NO_LABELS)

    @cached_property
    def _genes(self) -> dict[str, str]:
        """Organism to a hash of the names of its genes, in order: what genes are found by."""
        names = {organism: table.frame[list(NAMES)] for organism, table in self.tables.items()}
        return {
            organism: hashlib.sha256(frame.to_csv(sep="\t", index=False).encode()).hexdigest()
            for organism, frame in names.items()
        }

    @cached_property
    def _ontologies(self) -> dict[str, str]:
        """What labels are looked up in: content of the user's own files, and version of the package that has the others."""
        own = {prefix: sha256_of(path) for prefix, path in self.ontologies.items()}
        return own | {GUIDE: guide_version()}

    def key(self, dataset: Dataset, *, origin: Any) -> str:
        """Hash of everything that a dataset's shard depends on; of the raw file its `origin`, as the source has it."""
        names = self.names(dataset)
        content = {
            "revision": DATA_REVISION,
            "dataset": dataset.to_content(),
            "file": origin,
            "settings": self.settings.model_dump(),
            "validation_share": self.validation_share,
            "genes": self._genes[dataset.organism],
            "labels": [sorted([*label, term] for label, term in names.terms.items()), dict(names.columns)],
            "ontologies": self._ontologies,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def process_chunk(
    datasets: Iterable[Dataset], source: RawSource, recipe: Recipe, place: ChunkPlace
) -> dict[str, dict[str, Any]]:
    """Process what is not done yet; return the record of each dataset, or why it failed.

    Raises
    ------
    ValueError
        If too many of the datasets failed (`check_failures`). The others are done and stay done.
    """
    report = {dataset.name: _try_dataset(dataset, source, recipe, place) for dataset in datasets}
    check_failures(report)
    return report


def check_failures(report: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse the datasets of a chunk, or of a corpus, if too many failed.

    Raises
    ------
    ValueError
        If more than `FAILED_SHARE` of them failed, and more than `FAILED_LEAST`; with the reason of each.
    """
    failed = {name: entry["reason"] for name, entry in report.items() if entry["status"] == "failed"}
    allowed = max(FAILED_LEAST, int(FAILED_SHARE * len(report)))
    if len(failed) > allowed:
        reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed.items())
        raise ValueError(
            f"{len(failed)} of {len(report)} datasets failed, at most {allowed} may:\n{reasons}\n"
            f"Correct them, or take them out of the corpora that hold them: `exclude: [{', '.join(failed)}]` in the rule of a "
            "corpus (`corpora` of the scale), or its list. Datasets that are done will not be done again."
        )


def _try_dataset(dataset: Dataset, source: RawSource, recipe: Recipe, place: ChunkPlace) -> dict[str, Any]:
    try:
        return {"status": "done"} | process_dataset(dataset, source, recipe, place)
    except ValueError as error:  # of this dataset alone; counted by the caller
        LOG.warning("%s failed: %s", dataset.name, error)
        return {"status": "failed", "reason": str(error)}


def process_dataset(dataset: Dataset, source: RawSource, recipe: Recipe, place: ChunkPlace) -> dict[str, Any]:
    """Make the shard of one dataset, unless it is done; return its record.

    Raises
    ------
    ValueError
        If the raw file cannot be had, or cannot be used.
    """
    folder, raw, scratch = (
        place.processed / dataset.name,
        place.raw / f"{dataset.name}.h5ad",
        place.scratch / dataset.name,
    )
    with _alone(scratch):
        key = recipe.key(dataset, origin=source.origin(dataset))
        if (record := _read_record(folder, key, raw)) is not None:
            LOG.info("%s is done", dataset.name)
            return record
        (folder / "done.json").unlink(missing_ok=True)
        for left in [*scratch.glob("counts-*"), *folder.glob(".tmp-*")]:  # by a job that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        source.get(dataset, raw)
        table, names = recipe.tables[dataset.organism], recipe.names(dataset)
        with processed(dataset, raw, table, settings=recipe.settings, scratch=scratch, label_names=names) as cells:
            write_quality_record(cells, folder)
            gene_ids = table.frame["gene_id"].tolist()
            write_processed_shard(cells, folder / "shard", gene_ids=gene_ids, validation_share=recipe.validation_share)
            quality = cells.record["qc"]
        header = hashlib.sha256((folder / "shard" / "header.json").read_bytes()).hexdigest()
        record = {"organism": dataset.organism, "header_sha256": header, "qc": quality}
        write_json(folder / "done.json", {"key": key, "raw": _raw_state(raw), "record": record})
        LOG.info("%s: %s of %s cells kept", dataset.name, quality["cells_kept"], quality["cells_read"])
        return record


def _read_record(folder: Path, key: str, raw: Path) -> dict[str, Any] | None:
    """Record of a dataset that is done: same key, same raw file (if it is still there), and the shard that was written."""
    try:
        done = read_json(folder / "done.json")
        header = hashlib.sha256((folder / "shard" / "header.json").read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    same_raw = not raw.exists() or done["raw"] == _raw_state(raw)
    return done["record"] if done["key"] == key and same_raw and done["record"]["header_sha256"] == header else None


def _raw_state(raw: Path) -> dict[str, int]:
    state = raw.stat()
    return {"bytes": state.st_size, "modified_ns": state.st_mtime_ns}


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    """Hold the right to process a dataset; two jobs on one dataset would delete each other's files."""
    scratch.mkdir(parents=True, exist_ok=True)
    with (scratch / "lock").open("a") as file:
        end = time.monotonic() + LOCK_SECONDS
        while not _lock(file):
            if time.monotonic() > end:
                raise RuntimeError(f"{scratch}: another job processes this dataset. Wait for it, or end it.")
            time.sleep(LOCK_SECONDS / 100)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_reports(paths: Iterable[str | Path]) -> dict[str, dict[str, Any]]:
    """Read the reports of several chunks, dataset name to entry."""
    return {name: entry for path in paths for name, entry in read_json(path).items()}


def place_of(scale: str) -> ChunkPlace:
    """Where the workflow keeps the files of a scale."""
    return ChunkPlace(
        Path("resources", scale, "datasets"), Path("results", scale, "datasets"), Path("work", scale, "datasets")
    )
