"""Where the raw file of a dataset comes from: a download, a folder of the user's, or the simulator."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from scprint2.data.download import fetch, sha256_of
from scprint2.data.registry import Dataset
from scprint2.files import atomic_path


@runtime_checkable
class RawSource(Protocol):
    """Something that puts the raw file of a dataset at a path; a download that is there already is left alone."""

    def origin(self, dataset: Dataset) -> Any:
        """Say, as JSON has it, what decides on the content of the file."""
        ...

    def get(self, dataset: Dataset, target: Path) -> None:
        """Put the file there; ValueError if it cannot be had."""
        ...


@dataclass(frozen=True)
class Downloads:
    """Files of mirrors, else from the registry's URLs; `checksums` is the table of what they were at their first download."""

    mirrors: Sequence[str]
    checksums: str | Path

    def origin(self, dataset: Dataset) -> Any:
        """Return the checksum that the registry gives, else the file's addresses."""
        return _registered(dataset)

    def get(self, dataset: Dataset, target: Path) -> None:
        """Put the file there."""
        if dataset.is_archive:
            raise ValueError(f"{dataset.file}: archives are unpacked for test sets only. Give the dataset as h5ad.")
        fetch(dataset, target, mirrors=self.mirrors, checksums=self.checksums)


@dataclass(frozen=True)
class Folder:
    """Files of a folder, to which links are made."""

    path: Path

    def origin(self, dataset: Dataset) -> Any:
        """Return the checksum that the registry gives, else the file's name."""
        return _registered(dataset)

    def get(self, dataset: Dataset, target: Path) -> None:
        """Put a link there."""
        link_file(self.path / (dataset.file or f"{dataset.name}.h5ad"), target, sha256=dataset.sha256)


@dataclass(frozen=True)
class Simulator:
    """Files that are simulated."""

    settings: dict[str, Any]

    def origin(self, dataset: Dataset) -> Any:
        """Return the numbers of the simulated world; the dataset's name is no matter of its source."""
        return self.settings

    @cached_property
    def world(self) -> Any:
        """The simulated world, which takes a second to make."""
        from scprint2.simulate import SimulationSettings, build_world

        return build_world(SimulationSettings(**self.settings))

    def get(self, dataset: Dataset, target: Path) -> None:
        """Simulate the cells, also where a file is there already: it may be of other settings."""
        from scprint2.simulate import simulate_dataset

        adata = simulate_dataset(self.world, dataset.name)
        with atomic_path(target) as path:
            adata.write_h5ad(path, compression="gzip", compression_opts=1)


def _registered(dataset: Dataset) -> Any:
    return dataset.sha256 or dataset.md5 or [dataset.file, *dataset.url]


def link_file(source: Path, target: Path, *, sha256: str) -> None:
    """Link to a file, after checking that it is the one that the registry means.

    Raises
    ------
    ValueError
        If it is missing, or its checksum is another one.
    """
    if not source.is_file():
        raise ValueError(
            f"{source}: there is no such file. Correct `file` in the registry, or the folder of your data."
        )
    if sha256 and (found := sha256_of(source)) != sha256:
        raise ValueError(
            f"{source}: sha256 is {found}, the registry says {sha256}. Restore the file, or correct the registry."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{target.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.resolve())
    os.replace(temporary, target)
