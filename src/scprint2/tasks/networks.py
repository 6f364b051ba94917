"""Gene networks read from the attention of a model: regulator (row) to target (column)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy import sparse
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.tasks.inference import Reader, run
from scprint2.tasks.layout import ALL_CELLS, TERM, UNKNOWN, Group, Network, lay_out
from scprint2.tasks.selection import deepest_cells, variable_genes
from scprint2.training.checkpoint import PretrainedModel

Method = Literal["mean_queries_keys", "mean_attention"]
# Pairs of genes, over cells and heads, whose attention is held at a time: 64 MiB, and as much for its softmax.
MOST_PAIRS = 2**24
MOST_TOKENS = 2**14  # genes, over cells, that are in the model at a time: at width 256 and 8 layers less than 400 MB


class NetworkSettings(Node):
    """Which cells and genes a network is made from, and how.

    `cells` are the deepest ones at most, of the dataset or of each cell type (`groups`); `regulator` says on which side of the
    attention it stands. `methods`: `mean_queries_keys` (eq. 26) and `mean_attention` (eq. 27); the first one is `GRN`. `trees`
    are those that the baseline `genie3` grows for each target.
    """

    batch_size: int = Field(ge=1)
    genes: int = Field(ge=3)
    cells: int = Field(ge=1)
    minimum_cells: int = Field(ge=1)
    groups: Literal["none", "cell_type"]
    regulator: Literal["query", "key"]
    methods: tuple[Method, ...] = Field(min_length=1)
    trees: int = Field(ge=1)


def prepare_groups(adata: AnnData, settings: NetworkSettings) -> Iterator[Group]:
    """Yield the groups of cells to make networks from: the deepest cells of each, and their most variable genes.

    Raises
    ------
    ValueError
        If no cell type has enough cells.
    """
    depth = np.asarray(sparse.csr_matrix(adata.X).sum(axis=1)).ravel()
    names = np.full(adata.n_obs, ALL_CELLS, dtype=object)
    if settings.groups == "cell_type":
        names = adata.obs[TERM].astype(str).to_numpy()
    found, sizes = np.unique(names.astype(str), return_counts=True)
    chosen = [
        name for name, size in zip(found, sizes, strict=True) if size >= settings.minimum_cells and name != UNKNOWN
    ]
    if not chosen:
        raise ValueError(
            f"no cell type has {settings.minimum_cells} cells, the largest has {sizes.max()}; lower `minimum_cells` of the task"
        )
    for name in chosen:
        rows = deepest_cells(np.flatnonzero(names == name), depth, settings.cells)
        yield Group(str(name), rows, variable_genes(adata[rows], settings.genes))


def predict_networks(pretrained: PretrainedModel, adata: AnnData, *, settings: NetworkSettings, seed: int) -> AnnData:
    """Infer one network per group and method.

    The forward pass is deterministic; `seed` is here because baselines need one.
    """
    networks = []
    for group in prepare_groups(adata, settings):
        reader = Reader(pretrained, adata, rows=group.rows)
        for method in settings.methods:
            batch_size = min(settings.batch_size, max(1, MOST_TOKENS // len(group.genes)))
            attention = INFERENCE[method](reader, adata.var_names[group.genes], batch_size=batch_size)
            scores = attention if settings.regulator == "query" else attention.T
            networks.append(Network(group, method, scores.float().cpu().numpy()))
    return lay_out(adata, networks)


def mean_queries_keys(reader: Reader, genes: pd.Index, *, batch_size: int) -> Float[Tensor, "gene gene"]:
    """Attention between the mean query and the mean key over cells, averaged over heads and layers.

    Source: Methods, "Extracting meta-cell gene networks from attention matrices", eq. 26.
    """

    def sums(batch: CellBatch) -> list[tuple[Tensor, Tensor]]:
        layers = reader.pretrained.model.queries_and_keys(batch)
        return [(query.float().sum(dim=0), key.float().sum(dim=0)) for query, key in layers]

    totals: list[tuple[Tensor, Tensor]] = []
    for _, part in run(reader, sums, selector=reader.fixed(genes), batch_size=batch_size):
        totals = [(q + a, k + b) for (q, k), (a, b) in zip(totals, part, strict=True)] if totals else part
    network = torch.zeros(len(genes), len(genes), device=reader.device)
    for query, key in totals:
        query, key = query / len(reader.rows), key / len(reader.rows)
        for _, rows in blocks(1, heads=len(query), genes=len(genes)):
            network[rows] += attention(query[:, rows], key) / len(totals)
    return network


def mean_attention(reader: Reader, genes: pd.Index, *, batch_size: int) -> Float[Tensor, "gene gene"]:
    """Mean over cells of the attention among their expressed genes, averaged over heads and layers.

    A pair's sum is divided by the number of cells in which both genes were expressed; a pair never seen together scores 0.

    Source: Methods, the same section, eq. 27.
    """
    model, size = reader.pretrained.model, len(genes)

    def attend(batch: CellBatch) -> tuple[Tensor, Tensor]:
        packed, position = pack_expressed(batch)
        padding: Bool[Tensor, "cell gene"] = batch.counts.gather(1, position) == 0
        sums, layers = torch.zeros(size * size, device=reader.device), 0
        for query, key in model.queries_and_keys(packed):
            layers += 1
            for part, rows in blocks(len(query), heads=query.shape[1], genes=position.shape[1]):
                weights = attention(query[part, :, rows], key[part], padding=padding[part])
                weights = weights.masked_fill(padding[part, rows, None], 0)
                pairs = size * position[part, rows, None] + position[part, None, :]
                sums.index_add_(0, pairs.flatten(), weights.flatten())
        expressed = (batch.counts > 0).float()
        with torch.autocast(reader.device.type, enabled=False):
            return sums.view(size, size) / layers, expressed.T @ expressed

    total, together = torch.zeros(2, size, size, device=reader.device)
    for _, (sums, pairs) in run(reader, attend, selector=reader.fixed(genes), batch_size=batch_size):
        total += sums
        together += pairs
    return total / together.clamp(min=1)


def blocks(cells: int, *, heads: int, genes: int) -> Iterator[tuple[slice, slice]]:
    """Cut the attention of some cells into parts of `MOST_PAIRS`: cells and, where one cell has more pairs, rows of queries."""
    together = max(1, MOST_PAIRS // (heads * genes**2))
    rows = max(1, MOST_PAIRS // (heads * genes))
    for cell in range(0, cells, together):
        for row in range(0, genes, rows):
            yield slice(cell, cell + together), slice(row, row + rows)


def attention(
    query: Float[Tensor, "*cell head row dim"],
    key: Float[Tensor, "*cell head gene dim"],
    *,
    padding: Bool[Tensor, "*cell gene"] | None = None,
) -> Float[Tensor, "*cell row gene"]:
    """softmax(Q Kᵀ / √d), averaged over heads (eq. 25), 0 to padding; in fp32, so that close scores keep their order."""
    *cells, heads, rows, dim = query.shape
    with torch.autocast(query.device.type, enabled=False):
        scores = query.float() @ (key.float() / dim**0.5).transpose(-1, -2)
        if padding is not None:
            scores = scores.masked_fill(padding[..., None, None, :], torch.finfo(scores.dtype).min)
        average = torch.full((1, heads), 1 / heads, device=query.device)
        return (average @ scores.softmax(dim=-1).flatten(-2)).view(*cells, rows, -1)  # faster here than a mean


def pack_expressed(batch: CellBatch) -> tuple[CellBatch, Int[Tensor, "cell gene"]]:
    """Move the expressed genes of each cell to the front and cut off what no cell needs.

    Returns the batch, with padding where a cell has fewer, and where each gene stood before.
    """
    zero: Bool[Tensor, "cell gene"] = batch.counts == 0
    most = max(int((~zero).sum(dim=1).max()), 1)
    position = zero.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    packed = replace(batch.take_genes(position), padding=zero.gather(1, position))
    return packed, position


INFERENCE = {"mean_queries_keys": mean_queries_keys, "mean_attention": mean_attention}
