"""`scprint2 networks`. Heavy imports happen inside, so that help appears at once."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Gene networks as GRnnData files: out of predictions, and into scores.", no_args_is_help=True)


@app.command(
    epilog="Example: scprint2 networks export --prediction results/mini/predictions/base/seed_0/networks/sim_k562.h5ad --out nets"
)
def export(
    prediction: Annotated[Path, typer.Option(help="A prediction of the task networks.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder; writes <dataset>_<group>_<method>.h5ad.")],
) -> None:
    """Write each network of a prediction as a file that `grnndata.read_h5ad` reads."""
    from scprint2.tasks.network_files import export_networks

    for path in export_networks(prediction, out):
        typer.echo(path)


@app.command(
    epilog="Example: scprint2 networks score --network mine.h5ad --truth results/mini/truth/NCBITaxon_9606/x.tsv"
)
def score(
    network: Annotated[
        Path, typer.Option(help="h5ad with varp['GRN'], regulators as rows.", exists=True, dir_okay=False)
    ],
    truth: Annotated[
        Path,
        typer.Option(help="TSV of known edges: regulator, target, named as the genes of the network.", exists=True),
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a network of any tool against a known one, as the benchmark does."""
    from scprint2.tasks.layout import read_edges
    from scprint2.tasks.network_files import score_network_file

    scores = score_network_file(network, read_edges(truth))
    if as_json:
        typer.echo(json.dumps({name: asdict(value) for name, value in scores.items()}))
        return
    for name, value in scores.items():
        typer.echo(f"{name}\t{value.reason if value.value is None else f'{value.value:.6g}'}")
