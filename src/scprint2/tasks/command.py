"""`scprint2 predict`. Heavy imports happen inside, so that help appears at once."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    jobs: Annotated[str, typer.Option(help="Predictions to make: JSON text, or a JSON file; see the example.")],
    out: Annotated[Path, typer.Option(help="Folder; writes <out>/<task>/<dataset>.h5ad.")],
    seed: Annotated[int, typer.Option(min=0)],
    model: Annotated[Path | None, typer.Option(help="Folder of a trained model.", exists=True, file_okay=False)] = None,
    baseline: Annotated[str | None, typer.Option(help="Instead of --model, with --corpus.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Manifest of the corpus that the baseline learns from.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seen: Annotated[
        str,
        typer.Option(help="TSV of test cells (dataset, cell) that were trained on: scored apart, too. Empty: none."),
    ] = "",
) -> None:
    """Make all predictions of one model or baseline.

    A job is {"task": "denoise", "role": "denoise", "dataset": "x", "settings": {...}, "cells": "x/cells.h5ad"}, and for networks
    "truths": {"some_name": "known_edges.tsv"} besides (columns regulator and target, gene ids).
    """
    from scprint2.data.leakage import read_seen
    from scprint2.tasks.predict import load_method, read_jobs
    from scprint2.tasks.predict import predict as run

    method = load_method(model=model, baseline=baseline, corpus=corpus, device=device)
    known = read_seen(seen) if seen else None
    for path in run(method, read_jobs(jobs), out=out, seed=seed, seen=known):
        typer.echo(path)


def sweep_context(
    model: Annotated[Path, typer.Option(help="Folder of a trained model.", exists=True, file_okay=False)],
    cells: Annotated[Path, typer.Option(help="A processed dataset (cells.h5ad).", exists=True, dir_okay=False)],
    settings: Annotated[str, typer.Option(help="JSON text, as `settings` of `context` in config/sweeps.yaml.")],
    out: Annotated[Path, typer.Option(help="TSV to write; what it cost is written beside it, as .cost.json.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Measure how well labels are predicted from few and from many genes (figure 2d)."""
    import anndata

    from scprint2.accounting import JobMeter
    from scprint2.files import atomic_path, write_json
    from scprint2.tasks.context_sweep import ContextSweepSettings
    from scprint2.tasks.context_sweep import sweep_context as run
    from scprint2.tasks.predict import device_of, load_pretrained
    from scprint2.training.cost import device_name

    chosen, pretrained = ContextSweepSettings.model_validate_json(settings), load_pretrained(model, device=device)
    adata, place = anndata.read_h5ad(cells), device_of(pretrained)
    with JobMeter(str(place), name=device_name(place)) as meter:
        table = run(pretrained, adata, settings=chosen)
    with atomic_path(out) as temporary:
        table.to_csv(temporary, sep="\t", index=False)
    write_json(out.with_suffix(".cost.json"), meter.cost(cells=min(adata.n_obs, chosen.cells)).to_json())
    typer.echo(out)
