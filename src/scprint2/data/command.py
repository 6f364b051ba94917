"""`scprint2 data list | plan | fetch | verify`. Heavy imports happen inside, so that help appears at once."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scprint2.data.inventory import Inventory

app = typer.Typer(help="Datasets: list sources, plan, fetch and verify files.", no_args_is_help=True)

Config = Annotated[Path, typer.Option(help="Folder with base.yaml, scales/ and manifests/.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Scale = Annotated[str, typer.Option(help="Scale whose datasets, corpora and truths are meant.")]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Datasets, truths, protein models or files of organisms; without any, all that rules ask for."),
]
Corpora = Annotated[list[str] | None, typer.Option("--corpus", help="The datasets of a corpus; may be repeated.")]
Registry = Annotated[
    Path | None, typer.Option(help="A table of datasets in place of the scale's.", exists=True, dir_okay=False)
]


@app.command(
    "list",
    epilog="Examples: scprint2 data list --scale mini; scprint2 data list --source cellxgene; scprint2 data list --source tahoe "
    "--set location=gs://bucket/prefix/",
)
def list_datasets(
    *,
    scale: Annotated[str | None, typer.Option(help="List the registry of this scale.")] = None,
    registry: Annotated[
        Path | None, typer.Option(help="Instead of --scale: a registry.", exists=True, dir_okay=False)
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="Instead: ask cellxgene, tahoe, scbasecount or figshare, and freeze what it has in --config."
        ),
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Another address of the source's service.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the source (until, location); may be repeated.")
    ] = None,
    config: Config = Path("config"),
    as_json: Json = False,
) -> None:
    """List the datasets of a registry, or list a public source and freeze the listing."""
    if [scale, registry, source].count(None) != 2:
        raise typer.BadParameter("give one of --scale, --registry and --source")
    if source is not None:
        report = _freeze(source, config=config, endpoint=endpoint, settings=settings or [])
        typer.echo(json.dumps(report) if as_json else "\n".join(f"{key}: {value}" for key, value in report.items()))
        return
    from scprint2.config.overlay import read_scale
    from scprint2.data.registry import read_registry

    path = Path(read_scale(config, scale)["registry"]) if scale is not None else registry
    datasets = read_registry(str(path))
    if as_json:
        typer.echo(json.dumps([dataset.to_row() for dataset in datasets.values()]))
        return
    for name, dataset in datasets.items():
        size = "" if dataset.bytes is None else f"{dataset.bytes / 1e6:,.1f} MB"
        typer.echo("\t".join((name, dataset.organism, " ".join(dataset.roles), size, dataset.licence)))


def _freeze(source: str, *, config: Path, endpoint: str | None, settings: list[str]) -> dict[str, Any]:
    from scprint2.data.inventory import MANIFESTS
    from scprint2.data.manifests import write_manifest
    from scprint2.data.registry import read_organisms
    from scprint2.data.sources import SOURCES, figshare

    if source == figshare.NAME:
        return _freeze_figshare(config, endpoint=endpoint)
    if source not in SOURCES:
        raise ValueError(f"no source {source!r}; known: {[*SOURCES, figshare.NAME]}")
    asked = SOURCES[source]
    given = dict(text.split("=", 1) for text in settings if "=" in text)
    if set(given) - set(asked.settings) or len(given) < len(settings):
        raise ValueError(f"source {source!r} takes {[f'{name}=VALUE' for name in asked.settings]}; found {settings}")
    organisms = {row.name: row.organism for row in read_organisms(config / "organisms.tsv").values()}
    values = {**asked.settings, **given}
    where = endpoint or asked.endpoint
    listing = asked.ask(endpoint=where, organisms=organisms, **values)
    if not listing.datasets:
        raise ValueError(f"{where}: nothing to list; left out: {dict(listing.left_out)}. The manifest stays as it is.")
    comment = [
        f"{asked.title}: {len(listing.datasets)} datasets, listed by `scprint2 data list --source {source}` from {where}, "
        + ", ".join(f"{name} {value}" for name, value in values.items()),
        *(f"left out: {number} x {reason}" for reason, number in sorted(listing.left_out.items())),
    ]
    path = config / MANIFESTS / f"{source}.tsv"
    write_manifest(path, listing.datasets, comment="\n".join(comment))
    return {"manifest": str(path), "datasets": len(listing.datasets), "left_out": dict(listing.left_out)}


def _freeze_figshare(config: Path, *, endpoint: str | None) -> dict[str, Any]:
    from scprint2.data.checksums import record_checksum
    from scprint2.data.inventory import CHECKSUMS, TRUTHS
    from scprint2.data.registry import read_registry
    from scprint2.data.sources import figshare
    from scprint2.data.truths import read_truths

    files = [(row.file or f"{row.name}.h5ad", row.url) for row in read_registry(config / "datasets.tsv").values()]
    files += [(row.file, row.url) for row in read_truths(config / TRUTHS).values()]
    checksums, silent = figshare.list_checksums(files, endpoint=endpoint or figshare.ENDPOINT)
    for checksum in checksums:
        record_checksum(config / CHECKSUMS, checksum)
    return {"checksums": str(config / CHECKSUMS), "files": len(checksums), "not_told": silent}


@app.command(epilog="Example: scprint2 data plan --scale paper --corpus curated --json")
def plan(
    names: Names = None,
    *,
    corpus: Corpora = None,
    scale: Scale = "paper",
    registry: Registry = None,
    files: Annotated[bool, typer.Option("--files", help="Print a line for every file.")] = False,
    config: Config = Path("config"),
    as_json: Json = False,
) -> None:
    """Say which files would be fetched, how large and under which licences, before anything moves."""
    from scprint2.data.inventory import Total, show_bytes

    inventory = _read_downloads(config, scale, registry=registry)
    wanted = inventory.enforce(inventory.choose(names=names or (), corpora=corpus or ()))
    absent = inventory.absent(wanted)
    meant = corpus or ([] if names else list(inventory.corpora.corpora))
    missing, secondary = inventory.missing(meant), inventory.secondary(meant)
    if as_json:
        rows = [
            {
                "kind": file.kind,
                "name": file.name,
                "file": file.expected.name,
                "url": list(file.url),
                "bytes": file.expected.bytes,
                "sha256": file.expected.sha256,
                "md5": file.expected.md5,
                "licence": file.licence,
                "citation": file.citation,
                "present": file.target.is_file(),
            }
            for file in wanted
        ]
        total = Total.of(file.expected.bytes for file in absent)
        counts = {"files": total.files, "bytes": total.bytes, "unsized": total.unsized}
        told = {"files": rows, "to_fetch": counts, "incomplete": missing, "without_primary_cells": secondary}
        typer.echo(json.dumps(told))
        return
    for file in wanted if files else ():
        size = "?" if file.expected.bytes is None else show_bytes(file.expected.bytes)
        typer.echo("\t".join((file.kind, file.name, size, file.licence, " ".join(file.url) or "(mirror only)")))
    for licence in sorted({file.licence for file in wanted}):
        total = Total.of(file.expected.bytes for file in wanted if file.licence == licence)
        typer.echo(f"licence {licence or 'not stated'}: {total}")
    typer.echo(f"to fetch: {Total.of(file.expected.bytes for file in absent)}; {len(wanted) - len(absent)} are there")
    for name, number in secondary.items():
        typer.echo(f"corpus {name}: {number} listed datasets without a primary cell are left out")
    for name, text in missing.items():
        typer.echo(f"corpus {name} is incomplete: {text}")


def _read_downloads(config: Path, scale: str, *, registry: Path | None) -> "Inventory":
    from scprint2.data.inventory import Inventory

    inventory = Inventory.read(config, scale, registry=registry)
    if inventory.source != "download":
        raise ValueError(f"scale {scale!r} downloads nothing: the source of its files is {inventory.source!r}")
    return inventory


@app.command(epilog="Example: scprint2 data fetch retina k562_gwps --scale paper --mirror /data/mirror")
def fetch(
    names: Names = None,
    *,
    corpus: Corpora = None,
    scale: Scale = "paper",
    registry: Registry = None,
    mirror: Annotated[
        list[str] | None, typer.Option(help="A folder or URL that is asked for each file by its name, first.")
    ] = None,
    config: Config = Path("config"),
    as_json: Json = False,
) -> None:
    """Fetch files to where the workflow keeps them. Goes on after a failure; exit code 1 if any file could not be had."""
    from scprint2.data.download import fetch_file

    inventory = _read_downloads(config, scale, registry=registry)
    wanted = inventory.choose(names=names or (), corpora=corpus or ())
    failures: dict[str, str] = {}
    for file in wanted:
        try:
            fetch_file(file.expected, file.target, urls=file.url, mirrors=mirror or (), checksums=inventory.checksums)
        except ValueError as error:
            failures[str(file.target)] = str(error)
            typer.echo(f"{file.name}: {error}", err=True)
        else:
            typer.echo(f"{file.name}: {file.target}", err=as_json)
    if as_json:
        typer.echo(json.dumps({"fetched": len(wanted) - len(failures), "failed": failures}))
    if failures:
        raise typer.Exit(1)


@app.command(epilog="Example: scprint2 data verify --scale paper; a mirror or a folder of one's own: --folder DIR")
def verify(
    names: Names = None,
    *,
    corpus: Corpora = None,
    scale: Scale = "paper",
    registry: Registry = None,
    folder: Annotated[
        Path | None, typer.Option(help="Look for the files here, by their names in the registry.", file_okay=False)
    ] = None,
    config: Config = Path("config"),
    as_json: Json = False,
) -> None:
    """Hash the files that are there and compare them with the registry and the checksums. One line per bad file, exit code 1."""
    from scprint2.data.download import problem_of
    from scprint2.data.inventory import Inventory

    inventory = Inventory.read(config, scale, registry=registry)
    asked = bool(names or corpus)  # without names also what nothing reads: it may lie there
    chosen = inventory.choose(names=names or (), corpora=corpus or ()) if asked else inventory.everything()
    bad: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for file in inventory.enforce(chosen):
        path = folder / file.expected.name if folder else file.target
        if not path.is_file():
            counts["absent"] += 1
        elif problem := problem_of(path, file.expected):
            counts["bad"] += 1
            bad[str(path)] = problem
        else:
            counts["right" if file.expected.sha256 or file.expected.md5 else "without a known checksum"] += 1
    if as_json:
        typer.echo(json.dumps({"counts": counts, "bad": bad}))
    else:
        for path, problem in bad.items():
            typer.echo(f"{path}: {problem}")
        typer.echo(", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "no files")
    if bad:
        raise typer.Exit(1)
