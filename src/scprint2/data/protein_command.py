"""The verb `scprint2 embed-proteins`."""

from pathlib import Path
from typing import Annotated

import typer


def embed_proteins(
    *,
    proteins: Annotated[Path, typer.Option(help="Table of one protein per gene (rule extract_proteins).", exists=True)],
    model: Annotated[
        str, typer.Option(help="ESM2: a folder, or a name in the cache of Hugging Face. Nothing is downloaded.")
    ],
    work: Annotated[Path, typer.Option(help="Folder for what is done so far; a stopped run goes on from here.")],
    out: Annotated[Path, typer.Option(help="Table of vectors (parquet, gene id to columns).")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    residues_per_batch: Annotated[int, typer.Option(help="Fewer need less memory.", min=1)] = 16_384,
) -> None:
    """Embed the protein of each gene with ESM2: the mean of its residues' vectors."""
    import torch

    from scprint2.data.esm2 import Esm2
    from scprint2.data.protein_embeddings import embed_proteins as embed
    from scprint2.data.protein_embeddings import write_vectors
    from scprint2.data.proteins import read_proteins

    table = read_proteins(proteins)
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    encoder = Esm2(model, device=chosen)
    vectors = embed(table, encoder, work=work, residues_per_batch=residues_per_batch)
    write_vectors(vectors, out, record=encoder.record)
    typer.echo(f"{len(vectors)} vectors of {encoder.dim} columns written to {out}")
