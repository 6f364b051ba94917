"""The registries of datasets and organisms: plain tables that say where data comes from and what it is for.

Imports neither torch nor pandas, so that planning a workflow stays quick.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

NAME = re.compile(r"[a-z0-9_-]+")
ORGANISM = re.compile(r"NCBITaxon:[0-9]+")
SHA256 = re.compile(r"[0-9a-f]{64}")
MD5 = re.compile(r"[0-9a-f]{32}")
URLS = ("https://", "http://", "file://", "package://")  # package://name/path: a file that an installed package carries
ARCHIVES = (".zip", ".tar")
CONTENT = (
    "name",
    "organism",
    "batch_key",
    "label_key",
    "layers",
    "subset",
)  # fields that decide what is made of a file
LABELS = ("tissue", "assay")  # such fields too, where they are given
TRUTH = re.compile(r"[A-Za-z0-9_-]+")
SUBSET = re.compile(r"hash(<|>=)(0|1|0?\.[0-9]+)|[A-Za-z0-9_.]+=[^&]+")


@dataclass(frozen=True)
class Dataset:
    """One row of a dataset registry. An empty field was not given.

    Attributes
    ----------
    organism
        NCBITaxon id of every cell that is used.
    url
        Where the file can be had, in order of preference.
    file
        The name under which a mirror or a folder of one's own files holds it.
    batch_key, label_key
        Columns of obs: the batch, and the cell type (ontology term ids, or names that are looked up).
    layers
        Layers that preprocessing keeps.
    subset
        Conditions joined by `&`: `column=value`, or `hash<0.9` / `hash>=0.9` on a hash of the cell id in [0, 1).
    roles
        Words that say what the dataset is used for. A scale may take its corpora and test roles from them.
    truth
        Names of the known networks that a network test set is scored against: files without folder and endings. Table 1 shows
        the first.
    md5
        What publishers such as figshare and Google Cloud Storage give in place of a sha256.
    collection
        The study: donor ids name a person inside one study only, so that a donor in training and test can be told only
        where both datasets have one.
    tissue, assay
        Label of all cells, for files that do not say it themselves: a term id or a name.
    """

    name: str
    organism: str
    url: tuple[str, ...] = ()
    file: str = ""
    sha256: str = ""
    bytes: int | None = None
    licence: str = ""
    citation: str = ""
    batch_key: str = ""
    label_key: str = ""
    layers: tuple[str, ...] = ()
    subset: str = ""
    roles: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    md5: str = ""
    collection: str = ""
    tissue: str = ""
    assay: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Dataset":
        """Read a row of text fields; several URLs, layers, roles or truths are separated by spaces.

        Raises
        ------
        ValueError
            If a field is malformed.
        """
        _check_row(row)
        size = row.get("bytes", "")
        return cls(
            name=row["name"],
            organism=row["organism"],
            url=tuple(row.get("url", "").split()),
            file=row.get("file", ""),
            sha256=row.get("sha256", ""),
            bytes=int(size) if size else None,
            licence=row.get("licence", ""),
            citation=row.get("citation", ""),
            batch_key=row.get("batch_key", ""),
            label_key=row.get("label_key", ""),
            layers=tuple(row.get("layers", "").split()),
            subset=row.get("subset", ""),
            roles=tuple(row.get("roles", "").split()),
            truth=tuple(row.get("truth", "").split()),
            md5=row.get("md5", ""),
            collection=row.get("collection", ""),
            tissue=row.get("tissue", ""),
            assay=row.get("assay", ""),
        )

    def to_row(self) -> dict[str, str]:
        """Return the text fields that `from_row` reads."""
        return {field.name: self._text(field.name) for field in fields(self)}

    def to_content(self) -> dict[str, str]:
        """Return the fields that change what is made of the file; labels that are not given are left out."""
        names = [*CONTENT, *(name for name in LABELS if getattr(self, name))]
        return {name: self._text(name) for name in names}

    def _text(self, name: str) -> str:
        value = getattr(self, name)
        return " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)

    @property
    def is_archive(self) -> bool:
        """Whether its file is an archive of 10x files, which is unpacked into h5ad."""
        return self.file.endswith(ARCHIVES)


@dataclass(frozen=True)
class Organism:
    """One row of an organism registry.

    Attributes
    ----------
    genes, aliases, proteins, transcription_factors, orthologs, homologies
        Files relative to the data folder of the scale, or URLs; all but `genes` may be empty. `orthologs` is a table of families
        or of pairs; without one, families are made from the `homologies` (Ensembl Compara) of all organisms.
    species
        What Ensembl calls the organism in its files (homo_sapiens); needed beside `homologies`.
    assembly
        Genome and release of the gene table, for readers.
    """

    organism: str
    name: str
    genes: str
    transcription_factors: str = ""
    orthologs: str = ""
    species: str = ""
    assembly: str = ""
    aliases: str = ""
    proteins: str = ""
    homologies: str = ""

    @property
    def files(self) -> dict[str, str]:
        """Every file of the row, by its column."""
        columns = ("genes", "aliases", "proteins", "transcription_factors", "orthologs", "homologies")
        return {name: getattr(self, name) for name in columns if getattr(self, name)}


def read_registry(path: str | Path) -> dict[str, Dataset]:
    """Read a dataset registry (tab-separated), dataset name to dataset, in the order of the file.

    Raises
    ------
    ValueError
        If a column is unknown, a name is bad or given twice, or a field is malformed; the message names file and line.
    """
    datasets: dict[str, Dataset] = {}
    for line, row in read_rows(path, [field.name for field in fields(Dataset)], required=("name", "organism")):
        try:
            dataset = Dataset.from_row(row)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if dataset.name in datasets:
            raise ValueError(f"{path}, line {line}: dataset {dataset.name!r} is given twice. Rename or remove one.")
        datasets[dataset.name] = dataset
    return datasets


def read_organisms(path: str | Path) -> dict[str, Organism]:
    """Read an organism registry (tab-separated), NCBITaxon id to organism, in the order of the file.

    Raises
    ------
    ValueError
        If a column is unknown, an organism is malformed or given twice, or homologies are given without a species.
    """
    organisms: dict[str, Organism] = {}
    columns = [field.name for field in fields(Organism)]
    for line, row in read_rows(path, columns, required=("organism", "name", "genes")):
        try:
            check_organism(row["organism"])
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        if row["organism"] in organisms:
            raise ValueError(f"{path}, line {line}: organism {row['organism']} is given twice. Remove one.")
        if row.get("homologies") and not row.get("species"):
            raise ValueError(f"{path}, line {line}: homologies need the organism's name in Ensembl in column species.")
        organisms[row["organism"]] = Organism(**{name: row.get(name, "") for name in columns})
    return organisms


def url_name(url: str) -> str:
    """Name under which a downloaded file is kept (and looked for in a mirror).

    The homologies of Ensembl Compara have one name in the folders of all species; the species goes before it.
    """
    folder, name = url.rsplit("/", 2)[-2:]
    return f"{folder}.{name}" if name.startswith("Compara.") else name


def check_organism(organism: str) -> None:
    """Raise ValueError unless this is an NCBITaxon id."""
    if not ORGANISM.fullmatch(organism):
        raise ValueError(f"organism is {organism!r}; it must be an id such as NCBITaxon:9606 (human).")


def read_rows(path: str | Path, columns: list[str], *, required: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Read a tab-separated table with a header; lines that start with # are comments. Rows come with their line numbers.

    A quotation mark is a character like any other: titles and citations hold them.

    Raises
    ------
    ValueError
        If the header lacks a required column or has an unknown one, or a line has another number of fields.
    """
    with open(path, encoding="utf-8", newline="") as file:
        lines = [(number, line) for number, line in enumerate(file, start=1) if line.strip() and line[0] != "#"]
    if not lines:
        raise ValueError(f"{path}: the table is empty; its first line must name the columns {columns}.")
    table = [(number, [value.strip() for value in line.split("\t")]) for number, line in lines]
    header = table[0][1]
    unknown = [name for name in header if name not in columns]
    missing = [name for name in required if name not in header]
    if unknown or missing or len(set(header)) < len(header):
        raise ValueError(
            f"{path}: columns are {header}; unknown: {unknown}, missing: {missing}, allowed once: {columns}."
        )
    rows = []
    for number, values in table[1:]:
        if len(values) != len(header):
            raise ValueError(f"{path}, line {number}: {len(values)} fields, the header has {len(header)}. Use tabs.")
        rows.append((number, dict(zip(header, values, strict=True))))
    return rows


def write_rows(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return a table that `read_rows` reads; tabs, line ends and other runs of white space inside a text become one space."""
    lines = [columns, *([" ".join(row[name].split()) for name in columns] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)


def check_file(row: Mapping[str, str]) -> None:
    """Check what a row says about one file: `file`, `url`, `sha256`, `md5` and `bytes`.

    Raises
    ------
    ValueError
        If one of them is malformed.
    """
    file = row.get("file", "")
    if file.startswith("/") or ".." in file.split("/"):
        raise ValueError(f"file is {file!r}; it must be a path inside the mirror or data folder, without '..'.")
    for url in row.get("url", "").split():
        if not url.startswith(URLS):
            raise ValueError(f"url is {url!r}; it must start with one of {', '.join(URLS)}.")
    if row.get("sha256") and not SHA256.fullmatch(row["sha256"]):
        raise ValueError(f"sha256 is {row['sha256']!r}; it must be 64 characters 0-9 a-f, or empty.")
    if row.get("md5") and not MD5.fullmatch(row["md5"]):
        raise ValueError(f"md5 is {row['md5']!r}; it must be 32 characters 0-9 a-f, or empty.")
    if row.get("bytes") and not row["bytes"].isdigit():
        raise ValueError(f"bytes is {row['bytes']!r}; it must be a whole number, or empty.")


def _check_row(row: Mapping[str, str]) -> None:
    name = row.get("name", "")
    if not NAME.fullmatch(name):
        raise ValueError(f"name is {name!r}; it must consist of the characters a-z, 0-9, _ and -.")
    check_organism(row.get("organism", ""))
    truths = row.get("truth", "").split()
    if not all(map(TRUTH.fullmatch, truths)) or len(set(truths)) < len(truths):
        raise ValueError(
            f"truth is {row['truth']!r}; names, each once, must consist of letters, digits, _ and -, with spaces between them."
        )
    check_file(row)
    for condition in filter(None, row.get("subset", "").split("&")):
        if not SUBSET.fullmatch(condition):
            raise ValueError(f"subset is {condition!r}; allowed: column=value, hash<0.9, hash>=0.9, joined by '&'.")
