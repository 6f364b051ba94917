"""Cell embeddings for the integration benchmark."""

from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.model.outputs import CellOutput
from scprint2.tasks.inference import Reader, run
from scprint2.tasks.layout import TERM
from scprint2.tasks.selection import draw_cells
from scprint2.training.checkpoint import PretrainedModel


class EmbedSettings(Node):
    """How to embed: cells at most, genes in context, and which of a cell's embeddings.

    `token` is `cell_type` (that class' embedding, the paper's figure 4d) or `mean` (over all classes and the free one).
    """

    batch_size: int = Field(ge=1)
    cells: int = Field(ge=2)
    max_genes: int = Field(ge=1)
    token: Literal["cell_type", "mean"]


def prepare_embedding(adata: AnnData, settings: EmbedSettings) -> AnnData:
    """Return the cells to embed: their counts, their batch and their label."""
    chosen = adata[draw_cells(adata, settings.cells)]
    columns = {"batch": chosen.obs["batch"], "label": chosen.obs[TERM]}
    return AnnData(obs=pd.DataFrame(columns, index=chosen.obs_names).astype(str).astype("category"))


def predict_embedding(pretrained: PretrainedModel, adata: AnnData, *, settings: EmbedSettings, seed: int) -> AnnData:
    """Embed cells into `obsm["X_scprint2"]`.

    The forward pass is deterministic; `seed` is here because baselines need one.
    """
    prediction = prepare_embedding(adata, settings)
    reader = Reader(pretrained, adata, rows=adata.obs_names.get_indexer(prediction.obs_names))
    classes = pretrained.labels.classes

    def embed(batch: CellBatch) -> Float[Tensor, "cell dim"]:
        output: CellOutput = pretrained.model(batch)
        return pool_tokens(output.cell_embeddings.float(), classes=classes, token=settings.token)

    selector = reader.top_expressed(settings.max_genes)
    parts = [part for _, part in run(reader, embed, selector=selector, batch_size=settings.batch_size)]
    prediction.obsm["X_scprint2"] = torch.cat(parts).cpu().numpy().astype(np.float32)
    return prediction


def pool_tokens(
    tokens: Float[Tensor, "cell token dim"], *, classes: tuple[str, ...], token: str
) -> Float[Tensor, "cell dim"]:
    """Choose or average a cell's embeddings.

    Raises
    ------
    ValueError
        If the model has no embedding of that name.
    """
    if token == "mean":
        return tokens.mean(dim=1)
    if token not in classes:
        raise ValueError(
            f"the model has no embedding for {token!r}; known: {['mean', *classes]}. Change `token` of the task"
        )
    return tokens[:, classes.index(token)]
