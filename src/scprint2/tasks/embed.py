"""Cell embeddings for the integration benchmark."""

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.context import Selector
from scprint2.model.outputs import CellOutput
from scprint2.tasks.inference import Reader, run
from scprint2.tasks.layout import BEFORE, EMBEDDING, TERM
from scprint2.tasks.selection import draw_cells
from scprint2.training.checkpoint import PretrainedModel

FREE = "free"  # the unsupervised embedding, the last one of a cell


class EmbedSettings(Node):
    """How to embed: cells at most, genes in context, and which of a cell's embeddings.

    The first of `kinds` is Table 1's; the others are scored beside it. A kind is the name of a class (`cell_type` is the paper's,
    figure 4d), `free` (the unsupervised one), `all` (all of them side by side), `mean` (their mean), or `each`, which stands for
    every class of the model and the free one.
    """

    batch_size: int = Field(ge=1)
    cells: int = Field(ge=2)
    max_genes: int = Field(ge=1)
    kinds: tuple[str, ...] = Field(min_length=1)


def prepare_embedding(adata: AnnData, settings: EmbedSettings) -> AnnData:
    """Return the cells to embed: their batch, their label, and their principal components before any integration."""
    chosen = adata[draw_cells(adata, settings.cells)]
    columns = {"batch": chosen.obs["batch"], "label": chosen.obs[TERM]}
    prediction = AnnData(obs=pd.DataFrame(columns, index=chosen.obs_names).astype(str).astype("category"))
    if BEFORE in chosen.obsm:
        prediction.obsm[BEFORE] = np.asarray(chosen.obsm[BEFORE], dtype=np.float32)
    return prediction


def predict_embedding(pretrained: PretrainedModel, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Embed cells: the first kind, named in `uns["kind"]`, into `obsm["X_scprint2"]`, others into `obsm["X_scprint2_<kind>"]`.

    The forward pass is deterministic; `seed` is here because baselines need one.
    """
    prediction = prepare_embedding(adata, settings)
    reader = Reader(pretrained, adata, rows=adata.obs_names.get_indexer(prediction.obs_names))
    selector = reader.top_expressed(settings.max_genes)
    tokens = embed_cells(reader, selector=selector, batch_size=settings.batch_size)
    classes = pretrained.labels.classes
    prediction.uns["kind"] = list_kinds(settings.kinds, classes=classes)[0]
    for number, kind in enumerate(list_kinds(settings.kinds, classes=classes)):
        name = f"{EMBEDDING}_{kind}" if number else EMBEDDING
        prediction.obsm[name] = pool_tokens(tokens, classes=classes, kind=kind).numpy().astype(np.float32)
    return prediction


def embed_cells(reader: Reader, *, selector: Selector, batch_size: int) -> Float[Tensor, "cell token dim"]:
    """Return every embedding of each cell, on the CPU: one for each class of the model and, last, the free one."""

    def embed(batch: CellBatch) -> Float[Tensor, "cell token dim"]:
        output: CellOutput = reader.pretrained.model(batch)
        return output.cell_embeddings.float()

    return torch.cat([part for _, part in run(reader, embed, selector=selector, batch_size=batch_size)]).cpu()


def list_kinds(kinds: tuple[str, ...], *, classes: tuple[str, ...]) -> list[str]:
    """Return each kind once, in order, with every class and the free embedding in the place of `each`."""
    named = [name for kind in kinds for name in ((*classes, FREE) if kind == "each" else (kind,))]
    return list(dict.fromkeys(named))


def pool_tokens(
    tokens: Float[Tensor, "cell token dim"], *, classes: tuple[str, ...], kind: str
) -> Float[Tensor, "cell width"]:
    """Make one kind of embedding from those of all classes and the free one, which comes last.

    Raises
    ------
    ValueError
        If the model has no embedding of that name.
    """
    if kind == "all":
        return tokens.flatten(1)
    if kind == "mean":
        return tokens.mean(dim=1)
    names = (*classes, FREE)
    if kind not in names:
        raise ValueError(
            f"the model has no embedding for {kind!r}; known: {['all', 'each', 'mean', *names]}. Change `kinds` of the task"
        )
    return tokens[:, names.index(kind)]
