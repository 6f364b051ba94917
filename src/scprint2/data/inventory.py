"""The files that a scale is made from: what they are, how large, under which licence, before anything moves.

Imports neither torch nor pandas.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scprint2.config.overlay import assign_datasets, read_scale, read_yaml
from scprint2.config.studies import list_study_jobs, read_studies
from scprint2.config.tasks import read_tasks
from scprint2.data.checksums import read_checksums
from scprint2.data.corpora import Corpora, resolve_corpora
from scprint2.data.download import Expected, expected_file
from scprint2.data.protein_models import read_protein_models
from scprint2.data.publishers import publisher_of, read_publishers
from scprint2.data.registry import URLS, Dataset, read_organisms, read_registry, url_name
from scprint2.data.truths import TruthSource, read_truths

CHECKSUMS = "checksums.tsv"  # of the configuration's folder
MANIFESTS = "manifests"
MODELS = "protein_models.tsv"
PUBLISHERS = "publishers.tsv"
TRUTHS = "truths.tsv"  # beside the registry of datasets
EMBEDDING = "results/{scale}/gene_embedding.parquet"  # where rule join_gene_embeddings puts it


@dataclass(frozen=True)
class SourceFile:
    """One file to get.

    Attributes
    ----------
    name
        Of the dataset or truth; of other files their own, behind that of the model they belong to.
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

    def is_named(self, names: Iterable[str]) -> bool:
        """Return whether one of these is its name, or that of its model."""
        return not {self.name, self.name.split("/")[0]}.isdisjoint(names)


@dataclass(frozen=True)
class Inventory:
    """Everything that a scale may get.

    Attributes
    ----------
    roles, studies
        Datasets that a task of the gymnasium reads, and further ones that a study reads.
    references
        The files that describe the organisms of all datasets and, where their genes get vectors from a protein language model
        that is downloaded, the files of that model.
    """

    scale: str
    source: str
    corpora: Corpora
    roles: tuple[str, ...]
    studies: tuple[str, ...]
    truths: Mapping[str, TruthSource]
    references: tuple[SourceFile, ...]
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
        return cls.build(
            config,
            scale,
            registry=datasets,
            corpora=resolve_corpora(settings["corpora"], datasets, folder=config / MANIFESTS, where=f"scale {scale}"),
            truths=read_truths(path.with_name(TRUTHS)),
            protein_model=read_yaml(config / "config.yaml")["protein_model"],
        )

    @classmethod
    def build(
        cls,
        config: Path,
        scale: str,
        *,
        registry: Mapping[str, Dataset],
        corpora: Corpora,
        truths: Mapping[str, TruthSource],
        protein_model: str,
    ) -> "Inventory":
        """Add to tables that were read already what tasks, studies and organisms ask for.

        `protein_model` is a model of `protein_models.tsv`, or a folder of the user's.

        Raises
        ------
        ValueError
            If a table does not exist or is malformed.
        """
        settings = read_scale(config, scale)
        words = {name: row.roles for name, row in registry.items()}
        roles = assign_datasets(settings["roles"], words, where=f"scale {scale}")
        embedded = settings["gene_embedding"] == EMBEDDING.format(scale=scale)
        used = {dataset.organism for dataset in corpora.datasets.values()}
        models = _model_files(config / MODELS, protein_model, scale=scale) if embedded else []
        organisms = _organism_files(
            settings["organisms"], used, scale=scale, proteins=embedded, publishers=config / PUBLISHERS
        )
        return cls(
            scale=scale,
            source=settings["source"],
            corpora=corpora,
            roles=tuple(dict.fromkeys(name for names in roles.values() for name in names)),
            studies=_study_datasets(config, scale, roles=roles, words=words),
            truths=truths,
            references=(*organisms, *models),
            checksums=config / CHECKSUMS,
        )

    def choose(self, *, names: Iterable[str] = (), corpora: Iterable[str] = ()) -> list[SourceFile]:
        """List files by names of datasets, truths, models, files of organisms, and corpora; without any, all that rules ask for.

        A name may be that of a dataset and of its truth; both are meant. Truths without a URL are among them only by name.

        Raises
        ------
        ValueError
            If a name is not known.
        """
        names, corpora = list(names), list(corpora)
        unknown = [name for name in corpora if name not in self.corpora.corpora]
        if unknown:
            raise ValueError(f"scale {self.scale!r} has no corpora {unknown}; known: {sorted(self.corpora.corpora)}")
        if not names and not corpora:
            return self._asked_for()
        known = self.corpora.datasets
        references = [file for file in self.references if file.is_named(names)]
        missing = [
            name
            for name in names
            if name not in known and name not in self.truths and not any(file.is_named([name]) for file in references)
        ]
        if missing:
            raise ValueError(
                f"scale {self.scale!r} has no datasets, truths or files {missing}; `scprint2 data plan --files` lists them"
            )
        datasets = [*(name for name in names if name in known), *self._members(corpora)]
        return self._files(datasets, [name for name in names if name in self.truths]) + references

    def collect(self, *, datasets: Iterable[str], truths: Iterable[str]) -> list[SourceFile]:
        """List what a run gets: files of datasets and truths, what truths need, and the files that describe organisms."""
        return self._files(datasets, truths) + list(self.references)

    def everything(self) -> list[SourceFile]:
        """List every file that a table names, also those that nothing reads."""
        return self.collect(datasets=self.corpora.datasets, truths=self.truths)

    def absent(self, files: Iterable[SourceFile]) -> list[SourceFile]:
        """Return the files that are not where the workflow keeps them; a folder is listed once, however many files it has."""
        files = list(files)
        there = {folder: _names_in(folder) for folder in {file.target.parent for file in files}}
        return [file for file in files if file.target.name not in there[file.target.parent]]

    def missing(self, corpora: Iterable[str]) -> dict[str, str]:
        """Say which of these corpora are not complete because a listing is not."""
        return {name: text for name in corpora if (text := self.corpora.partial.get(name))}

    def secondary(self, corpora: Iterable[str]) -> dict[str, int]:
        """Count the listed datasets that these corpora leave out because all their cells are another dataset's."""
        return {name: number for name in corpora if (number := self.corpora.secondary.get(name))}

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

    def _asked_for(self) -> list[SourceFile]:
        """List what the rules for all rows of Table 1 and all studies ask for."""
        tests = dict.fromkeys([*self.roles, *self.studies])
        wanted = {truth for name in tests for truth in self.corpora.datasets[name].truth} & set(self.truths)
        truths = sorted(name for name in wanted if self.truths[name].is_within_reach(None))
        return self.collect(datasets=[*tests, *self._members(self.corpora.corpora)], truths=truths)

    def _members(self, corpora: Iterable[str]) -> list[str]:
        return [name for corpus in corpora for name in self.corpora.corpora[corpus]]

    def _files(self, datasets: Iterable[str], truths: Iterable[str]) -> list[SourceFile]:
        sources = [self.truths[name] for name in truths]
        sources += [self.truths[truth.mapping] for truth in sources if truth.mapping]
        files = [self._dataset_file(self.corpora.datasets[name]) for name in dict.fromkeys(datasets)]
        return files + [self._truth_file(truth) for truth in {truth.file: truth for truth in sources}.values()]

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


def _study_datasets(
    config: Path, scale: str, *, roles: Mapping[str, list[str]], words: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    tasks = read_tasks(config, scale=scale)["tasks"]
    studies = read_studies(config, scale=scale, tasks=tasks).values()
    jobs = [job for study in studies for job in list_study_jobs(study, tasks=tasks, roles=roles, words=words)]
    return tuple(dict.fromkeys(job.dataset for job in jobs))


def _organism_files(
    organisms: str | Path, used: set[str], *, scale: str, proteins: bool, publishers: Path
) -> list[SourceFile]:
    """Return the files of the organisms that are used and have a URL; proteins are needed for vectors alone."""
    known = read_publishers(publishers)
    rows = [row.files for name, row in read_organisms(organisms).items() if name in used]
    urls = [
        url
        for files in rows
        for kind, url in files.items()
        if url.startswith(URLS) and (proteins or kind != "proteins")
    ]
    found = []
    for url in dict.fromkeys(urls):
        file, publisher = url_name(url), publisher_of(url, known)
        found.append(
            SourceFile(
                kind="organism",
                name=file,
                expected=Expected(file),
                url=(url,),
                licence=publisher.licence if publisher else "",
                citation=publisher.citation if publisher else "",
                target=Path(f"resources/{scale}/genes/{file}"),
            )
        )
    return found


def _model_files(models: Path, model: str, *, scale: str) -> list[SourceFile]:
    """Return the files of a protein language model; none for a folder of the user's."""
    return [
        SourceFile(
            kind="model",
            name=f"{model}/{file.file}",
            expected=Expected(f"{model}/{file.file}", file.sha256, file.bytes),
            url=(file.url,),
            licence=file.licence,
            citation=file.citation,
            target=Path(f"resources/{scale}/models/{model}/{file.file}"),
        )
        for file in read_protein_models(models).get(model, {}).values()
    ]


def _names_in(folder: Path) -> set[str]:
    """Return the names of a folder's files, links to files among them."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_file()}


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
