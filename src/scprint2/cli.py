"""The command line: `scprint2 <verb>`. Heavy imports happen inside the verbs, so that help appears at once."""

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from scprint2.data.command import app as data_app
from scprint2.data.protein_command import embed_proteins
from scprint2.tasks.command import predict, sweep_context
from scprint2.tasks.network_command import app as networks_app
from scprint2.tasks.own_command import annotate, denoise, embed, finetune, grn
from scprint2.training.work import EXIT_UNFINISHED, Unfinished

EXIT_ERROR = 1

app = typer.Typer(
    name="scprint2",
    help="Train and use scPRINT-2 models. Exit codes: 0 done, 1 error, 2 wrong usage, 75 stopped, state saved (run again).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(data_app, name="data")
app.add_typer(networks_app, name="networks")
OWN = "--model results/mini/models/base/seed_0 --cells mine.h5ad"
app.command(epilog=f"Example: scprint2 embed {OWN} --out embedded.h5ad --kind cell_type --kind free")(embed)
app.command(epilog=f"Example: scprint2 annotate {OWN} --out annotated.h5ad --label cell_type --least-confidence 0.5")(
    annotate
)
app.command(epilog=f"Example: scprint2 denoise {OWN} --out denoised.h5ad --genes 5000")(denoise)
app.command(epilog=f"Example: scprint2 grn {OWN} --out networks --group-key cell_type --genes 4000")(grn)
app.command(
    epilog="Example: scprint2 finetune --model results/mini/models/xpressor/seed_0 --cells mine.h5ad --out tuned "
    "--label cell_type=celltype --domain-key batch"
)(finetune)
app.command(
    "predict",
    epilog="Example: scprint2 predict --model results/mini/models/base/seed_0 --seed 0 --out predictions --jobs jobs.json, where "
    'jobs.json holds [{"task": "embed", "role": "lung", "dataset": "sim_lung", "settings": {...}, "cells": "cells.h5ad"}]',
)(predict)
app.command(
    "sweep-context",
    epilog="Example: scprint2 sweep-context --model results/mini/models/base/seed_0 --cells cells.h5ad --out sweep.tsv "
    '--settings \'{"batch_size": 64, "cells": 400, "lengths": [16, 64], '
    '"smoothing": {"kind": "smooth", "neighbors": 6, "strength": 0.1, "weights": "equal"}}\'',
)(sweep_context)
app.command(
    "embed-proteins",
    epilog="Example: scprint2 embed-proteins --proteins proteins.tsv --model esm2_t33_650M_UR50D --work work/human "
    "--out human.parquet",
)(embed_proteins)

Config = Annotated[Path, typer.Option(help="Folder with base.yaml, scales/ and variants/.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _root() -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("scprint2").setLevel(logging.INFO)


@app.command(epilog="Example: scprint2 variants --scale paper --json")
def variants(
    *,
    config: Config = Path("config"),
    scale: Annotated[str, typer.Option(help="Scale whose constants are filled in.")] = "paper",
    as_json: Json = False,
) -> None:
    """List the rows of the benchmark, and on what each differs from the row it is compared with."""
    from scprint2.config.overlay import describe_variants

    rows = describe_variants(config, scale=scale)
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['variant']}  ({row['section']}: {row['name']}; compared with {row['reference']})")
        for path, (before, after) in row["diff"].items():
            typer.echo(f"    {path}: {before} -> {after}")


@app.command(
    epilog="Example: scprint2 pretrain --scale mini --variant base --corpus results/mini/corpora/curated.json "
    "--seed 0 --work work/mini/base/seed_0 --out results/mini/models/base/seed_0"
)
def pretrain(
    *,
    corpus: Annotated[Path, typer.Option(help="Corpus manifest (JSON).", exists=True, dir_okay=False)],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and logs; a stopped training goes on from here.")],
    out: Annotated[Path, typer.Option(help="Folder of the finished model.")],
    seed: Annotated[int, typer.Option(min=0)],
    experiment: Annotated[
        str | None, typer.Option(help="A resolved experiment: JSON text, or the path of a JSON or YAML file.")
    ] = None,
    scale: Annotated[str | None, typer.Option(help="Instead of --experiment, with --variant.")] = None,
    variant: Annotated[str | None, typer.Option(help="Instead of --experiment, with --scale.")] = None,
    config: Config = Path("config"),
    gene_embedding: Annotated[
        Path | None, typer.Option(help="Table of one vector per gene (parquet); seeded random vectors without.")
    ] = None,
    budget_seconds: Annotated[
        float | None,
        typer.Option(help="Wall-clock seconds this process may take; then it saves and exits with 75.", min=0),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train a model on a corpus and publish its folder. The same command goes on after a stop."""
    values = _experiment_values(experiment, scale=scale, variant=variant, config=config)

    from scprint2.data.corpus import Corpus
    from scprint2.data.gene_embeddings import gene_embedding as embed_genes
    from scprint2.experiment import Experiment
    from scprint2.training import loop

    tree = Experiment.model_validate(values)
    manifest = Corpus.load(corpus)
    embedding = embed_genes(manifest.genes, table=gene_embedding, dim=tree.model.dim, seed=0)
    loop.pretrain(
        tree,
        manifest,
        seed=seed,
        work=work,
        out=out,
        gene_embedding=embedding,
        budget_seconds=None if budget_seconds is None else budget_seconds - _seconds_since_start(),
        device=device,
    )
    if as_json:
        parts = {name: json.loads((out / f"{name}.json").read_text()) for name in ("record", "cost")}
        typer.echo(json.dumps({"model": str(out), **parts}))
    else:
        typer.echo(f"model written to {out}")


def _experiment_values(
    experiment: str | None, *, scale: str | None, variant: str | None, config: Path
) -> dict[str, Any]:
    if (experiment is None) == (scale is None or variant is None):
        raise typer.BadParameter("give either --experiment, or --scale and --variant")
    if experiment is None:
        from scprint2.config.overlay import resolve

        return resolve(config, scale=str(scale), variant=str(variant))
    import yaml

    text = experiment if experiment.lstrip().startswith("{") else Path(experiment).read_text()
    return json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)


def _seconds_since_start() -> float:
    import psutil

    return max(0.0, time.time() - psutil.Process(os.getpid()).create_time())


def main() -> None:
    """Run the command line; errors a user can act on become one line."""
    try:
        app()
    except Unfinished as stop:
        typer.echo(f"stopped, run the same command again: {stop}", err=True)
        sys.exit(EXIT_UNFINISHED)
    except (ValueError, OSError, RuntimeError, MemoryError, FloatingPointError) as error:
        if os.environ.get("SCPRINT2_TRACEBACK"):
            raise
        typer.echo(f"error: {error}\n(set SCPRINT2_TRACEBACK=1 to see where)", err=True)
        sys.exit(EXIT_ERROR)
