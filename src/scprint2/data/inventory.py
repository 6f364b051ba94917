"""The files that a scale is made from: what they are, how large, under which licence, before anything moves.

Imports neither torch nor pandas.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scprint2.config.overlay import assign_datasets, read_scale
from scprint2.data.checksums import read_checksums
from scprint2.data.corpora import Corpora, resolve_corpora
from scprint2.data.download import Expected, expected_file
from scprint2.data.registry import URLS, Dataset, read_organisms, read_registry, url_name
from scprint2.data.truths import TruthSource, read_truths

CHECKSUMS = "checksums.tsv"  # of the configuration's folder
MANIFESTS = "manifests"
TRUTHS = "truths.tsv"  # beside the registry of datasets


@dataclass(frozen=True)
class SourceFile:
    """One file to get.

    Attributes
    ----------
    name
        Of the dataset or truth.
    target
        Where the workflow keeps it.
    """

    kind: str
    name: str
    expected: Expected
    url: tuple[str, ...]
    licence: str
    citation: str
    target: Path


@dataclass(frozen=True)
class Inventory:
    """Everything that a scale may get.

    Attributes
    ----------
    roles
        Datasets that a task of the gymnasium reads.
    organisms
        URLs of the files that describe organisms.
    """

    scale: str
    source: str
    corpora: Corpora
    roles: tuple[str, ...]
    truths: Mapping[str, TruthSource]
    organisms: tuple[str, ...]
    checksums: Path

    @classmethod
    def read(cls, config: str | Path, scale: str, *, registry: str | Path | None = None) -> "Inventory":
        """Read a scale's tables.

        Raises
        ------
        ValueError
            If one of them does not exist or is malformed.
        """
        settings, config = read_scale(Path(config), scale), Path(config)
        path = Path(registry or settings["registry"])
        datasets = read_registry(path)
        roles = assign_datasets(
            settings["roles"], {name: row.roles for name, row in datasets.items()}, where=f"scale {scale}"
        )
        return cls(
            scale=scale,
            source=settings["source"],
            corpora=resolve_corpora(settings["corpora"], datasets, folder=config / MANIFESTS, where=f"scale {scale}"),
            roles=tuple(dict.fromkeys(name for names in roles.values() for name in names)),
            truths=read_truths(path.with_name(TRUTHS)),
            organisms=_urls(settings["organisms"]),
            checksums=config / CHECKSUMS,
        )

    def choose(self, *, names: Iterable[str] = (), corpora: Iterable[str] = ()) -> list[SourceFile]:
        """List the files of datasets, truths and corpora by name; without any, of everything that the scale trains or tests on.

        A name may be that of a dataset and of its truth; both are meant. Truths without a URL are among them only by name.

        Raises
        ------
        ValueError
            If a name is not known.
        """
        names, corpora = list(names), list(corpora)
        organisms = () if names or corpora else self.organisms
        unknown = [name for name in corpora if name not in self.corpora.corpora]
        if unknown:
            raise ValueError(f"scale {self.scale!r} has no corpora {unknown}; known: {sorted(self.corpora.corpora)}")
        if not names and not corpora:
            names, corpora = list(self.roles), list(self.corpora.corpora)
            used = {truth for name in names for truth in self.corpora.datasets[name].truth}
            names += sorted(name for name in used & set(self.truths) if self.truths[name].is_within_reach(None))
        known = self.corpora.datasets
        missing = [name for name in names if name not in known and name not in self.truths]
        if missing:
            raise ValueError(
                f"scale {self.scale!r} has no datasets or truths {missing}; `scprint2 data plan --files` lists them"
            )
        members = [name for corpus in corpora for name in self.corpora.corpora[corpus]]
        chosen = dict.fromkeys(name for name in [*names, *members] if name in known)
        truths = [self.truths[name] for name in names if name in self.truths]
        truths += [self.truths[truth.mapping] for truth in truths if truth.mapping]
        files = [self._dataset_file(known[name]) for name in chosen]
        files += [self._truth_file(truth) for truth in {truth.file: truth for truth in truths}.values()]
        return files + [self._organism_file(url) for url in organisms]

    def missing(self, corpora: Iterable[str]) -> dict[str, str]:
        """Say which of these corpora are not complete because a listing is not."""
        return {name: text for name in corpora if (text := self.corpora.partial.get(name))}

    def enforce(self, files: Iterable[SourceFile]) -> list[SourceFile]:
        """Add what the table of checksums knows of each file.

        Raises
        ------
        ValueError
            If it contradicts a registry.
        """
        learnt = read_checksums(self.checksums)
        return [
            replace(file, expected=file.expected.know(learnt.get(file.expected.name), where=self.checksums))
            for file in files
        ]

    def _dataset_file(self, dataset: Dataset) -> SourceFile:
        kept = f"sources/{dataset.file}" if dataset.is_archive else f"datasets/{dataset.name}.h5ad"
        return SourceFile(
            kind="dataset",
            name=dataset.name,
            expected=expected_file(dataset),
            url=dataset.url,
            licence=dataset.licence,
            citation=dataset.citation,
            target=Path(f"resources/{self.scale}") / kept,
        )

    def _truth_file(self, truth: TruthSource) -> SourceFile:
        return SourceFile(
            kind="truth",
            name=truth.name,
            expected=Expected(truth.file, truth.sha256, truth.bytes, truth.md5),
            url=truth.url,
            licence=truth.licence,
            citation=truth.citation,
            target=Path(f"resources/{self.scale}/sources/{truth.file}"),
        )

    def _organism_file(self, url: str) -> SourceFile:
        file = url_name(url)
        target = Path(f"resources/{self.scale}/genes/{file}")
        return SourceFile("organism", file, Expected(file), (url,), licence="", citation="", target=target)


def _urls(organisms: str | Path) -> tuple[str, ...]:
    values = [value for row in read_organisms(organisms).values() for value in asdict(row).values()]
    return tuple(dict.fromkeys(value for value in values if str(value).startswith(URLS)))


@dataclass(frozen=True)
class Total:
    """Files counted.

    Attributes
    ----------
    bytes
        Of the files whose size is known.
    unsized
        How many have no known size.
    """

    files: int
    bytes: int
    unsized: int

    @classmethod
    def of(cls, sizes: Iterable[int | None]) -> "Total":
        """Add up sizes; None is unknown."""
        values = list(sizes)
        known = [size for size in values if size is not None]
        return cls(len(values), sum(known), len(values) - len(known))

    def __str__(self) -> str:
        unknown = f", and {self.unsized:,} of unknown size" if self.unsized else ""
        return f"{self.files:,} files, {show_bytes(self.bytes)} in those of known size{unknown}"


def show_bytes(number: int) -> str:
    """Write a number of bytes for people, in powers of 1,000."""
    size, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:,.0f} {units[0]}" if units[0] == "B" else f"{size:,.1f} {units[0]}"
