"""`scprint2 embed | annotate | denoise | grn | finetune`, a trained model on one's own h5ad.

Heavy imports happen inside, so that help appears at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote

import typer

if TYPE_CHECKING:
    from anndata import AnnData

    from scprint2.training.checkpoint import PretrainedModel

Model = Annotated[Path, typer.Option(help="Folder of a trained model.", exists=True, file_okay=False)]
Cells = Annotated[Path, typer.Option(help="h5ad with raw counts; genes by Ensembl id or symbol.", dir_okay=False)]
Out = Annotated[Path, typer.Option(help="h5ad to write: that of --cells with what was added.", dir_okay=False)]
Organism = Annotated[
    str | None,
    typer.Option(help="NCBITaxon id or scientific name; by default what the file or its gene names say."),
]
Genes = Annotated[
    int | None, typer.Option(help="Genes that the model sees of a cell; as in training by default.", min=1)
]
BatchSize = Annotated[int, typer.Option(help="Cells at a time; halved where memory is short.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


def embed(
    model: Model,
    cells: Cells,
    out: Out,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="cell_type (the default) or another class of the model, free, all, mean, each; may be repeated."
        ),
    ] = None,
    organism: Organism = None,
    max_genes: Genes = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
) -> None:
    """Embed the cells of an h5ad: obsm["X_scprint2"]."""
    pretrained, adata = _open(model, cells, device=device)
    from scprint2.tasks import own_cells

    own_cells.embed(
        pretrained, adata, organism=organism, kinds=kind or ["cell_type"], max_genes=max_genes, batch_size=batch_size
    )
    _write(adata, out)


def annotate(
    model: Model,
    cells: Cells,
    out: Out,
    *,
    label: Annotated[
        list[str] | None,
        typer.Option(help="What to predict, such as cell_type; may be repeated. All labels of the model by default."),
    ] = None,
    least_confidence: Annotated[float, typer.Option(help="Below it a cell is called unknown.", min=0, max=1)] = 0.0,
    organism: Organism = None,
    max_genes: Genes = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
) -> None:
    """Predict labels of the cells of an h5ad: obs["scprint2_cell_type"] with term and confidence, and so on."""
    pretrained, adata = _open(model, cells, device=device)
    from scprint2.tasks import own_cells

    own_cells.annotate(
        pretrained, adata, organism=organism, classes=label, least_confidence=least_confidence, max_genes=max_genes,
        batch_size=batch_size,
    )  # fmt: skip
    _write(adata, out)


def denoise(
    model: Model,
    cells: Cells,
    out: Annotated[Path, typer.Option(help="h5ad to write: the cells on the denoised genes.", dir_okay=False)],
    *,
    genes: Annotated[int, typer.Option(help="The most variable genes, so many at most.", min=2)] = 2000,
    depth_factor: Annotated[float, typer.Option(help="Depth to ask for, over the cell's own.", min=0.01)] = 10.0,
    organism: Organism = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
) -> None:
    """Restore the counts of the cells of an h5ad at a larger depth: layers["denoised"]."""
    pretrained, adata = _open(model, cells, device=device)
    from scprint2.tasks import own_cells

    _write(
        own_cells.denoise(
            pretrained, adata, organism=organism, genes=genes, depth_factor=depth_factor, batch_size=batch_size
        ),
        out,
    )


def grn(
    model: Model,
    cells: Cells,
    out: Annotated[Path, typer.Option(help="Folder; writes <group>.h5ad, which grnndata.read_h5ad reads.")],
    *,
    group_key: Annotated[str | None, typer.Option(help="obs column: a network for each of its values.")] = None,
    genes: Annotated[int, typer.Option(help="The most variable genes, so many at most.", min=3)] = 2000,
    most_cells: Annotated[int, typer.Option(help="The deepest cells of a group, so many at most.", min=1)] = 1024,
    organism: Organism = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
) -> None:
    """Infer gene networks from the cells of an h5ad: varp["GRN"], regulators as rows."""
    pretrained, adata = _open(model, cells, device=device)
    from scprint2.tasks import own_cells
    from scprint2.tasks.layout import read_networks

    networks = own_cells.infer_networks(
        pretrained, adata, organism=organism, group_key=group_key, genes=genes, cells=most_cells, batch_size=batch_size
    )
    for group, _, network in read_networks(networks):
        network.uns["scprint2"] = dict(networks.uns["scprint2"])
        _write(network, out / f"{quote(group, safe=' ,+()')}.h5ad")  # two groups never share a file


def finetune(
    model: Model,
    cells: Annotated[
        Path, typer.Option(help="h5ad with raw counts and labels; genes by Ensembl id or symbol.", dir_okay=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the fine-tuned model, put in place when it is done.")],
    *,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="CLASS=COLUMN: where obs has labels of a class of the model, as ontology ids or names; may be repeated. "
            "cell_type=cell_type by default."
        ),
    ] = None,
    domain_key: Annotated[
        str | None, typer.Option(help="obs column of batches, datasets or organisms to make alike (eq. 21).")
    ] = None,
    weights: Annotated[
        Literal["xpressor", "all"],
        typer.Option(help="What learns: xpressor, the layers of the XPressor alone, or all weights."),
    ] = "xpressor",
    epochs: Annotated[int, typer.Option(help="Passes over the cells.", min=1)] = 4,
    learning_rate: Annotated[float, typer.Option(help="The same in every step.")] = 1e-4,
    domain_weight: Annotated[float, typer.Option(help="Of the discrepancy between domains.", min=0)] = 0.1,
    validation_share: Annotated[
        float, typer.Option(help="Share of the cells to choose the best epoch by; nothing is learnt from them.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    organism: Organism = None,
    max_genes: Genes = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
) -> None:
    """Fine-tune a model on the labelled cells of an h5ad; the new folder is a model as any other."""
    labels = dict(_split_label(text) for text in label or ["cell_type=cell_type"])
    adata = _read(cells)
    from scprint2 import finetune as tuning
    from scprint2.config.finetuning import FinetuneSettings

    settings = FinetuneSettings(
        weights=weights, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, domain_weight=domain_weight,
        max_genes=max_genes, validation_share=validation_share, seed=seed,
    )  # fmt: skip
    tuned = tuning.finetune(
        model, adata, labels=labels, out=out, domain_key=domain_key, organism=organism, settings=settings, device=device
    )
    before = tuned.record["finetuned"]["accuracy_before"]
    for name, found in tuned.record["validation_accuracy"].items():
        typer.echo(
            f"{name}: accuracy {before[name]['accuracy']:.1%} before, {found['accuracy']:.1%} after "
            f"({found['cells']} cells held out)"
        )
    typer.echo(out)


def _split_label(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise typer.BadParameter(f"--label is {text!r}; write CLASS=COLUMN, such as cell_type=celltype")
    return name, column


def _open(model: Path, cells: Path, *, device: str) -> tuple["PretrainedModel", "AnnData"]:
    """Load the model; check the file before reading it."""
    from scprint2.tasks.predict import load_pretrained

    adata = _read(cells)
    return load_pretrained(model, device=device), adata


def _read(cells: Path) -> "AnnData":
    """Check a file, then read it."""
    import anndata

    from scprint2.data.validate import check_file

    check_file(cells)
    return anndata.read_h5ad(cells)


def _write(adata: "AnnData", out: Path) -> None:
    from scprint2.files import atomic_path

    with atomic_path(out) as temporary:
        adata.write_h5ad(temporary)
    typer.echo(out)
