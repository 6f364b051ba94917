"""How predictions are laid out in an AnnData; imports no torch, since scoring needs none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float, Int
from scipy import sparse

from scprint2.tasks.selection import dense

TERM = "cell_type_ontology_term_id"
UNKNOWN = "unknown"
TRUE_MEAN = "true_mean"
DENOISED, UNINFLATED = "denoised", "denoised_uninflated"  # layers: with and without the zero probability
EMBEDDING = "X_scprint2"  # obsm: the embedding that Table 1 scores; others carry their kind behind it
BEFORE = "X_pca"  # obsm: principal components before integration
ALL_CELLS = "all"
# Answers of an annotation: obs["<answer>_cell_type_ontology_term_id"], with the term's name in obs["<answer>_cell_type"].
PREDICTED = "predicted"
SHARED_PARENT = "shared_parent"
CANDIDATES = "candidates"  # obsm: the most likely types, best first, as codes of uns["leaves"]
REFINED = "refined"  # uns: the names of further answers
DONOR = "donor_id"  # obs column, where the dataset says whose cells they are
DONOR_PART = ":donor="  # stands between a metric's name and a donor, for the score of this donor's cells
SEEN = "seen"  # obs column: the cell, its dataset or its donor was trained on


@dataclass(frozen=True)
class Group:
    """Cells that one network is made from, and its genes (columns of the dataset, in file order)."""

    name: str
    rows: Int[np.ndarray, " cell"]
    genes: Int[np.ndarray, " gene"]


@dataclass(frozen=True)
class Network:
    """The scores of one group's edges by one method, over the genes of the group."""

    group: Group
    method: str
    scores: Float[np.ndarray, "gene gene"]


def read_ancestors(prediction: AnnData) -> dict[str, frozenset[str]]:
    """Return each term's ancestors, as stored with an annotation."""
    return {term: frozenset(filter(None, str(line).split("|"))) for term, line in prediction.uns["ancestors"].items()}


def lay_out(adata: AnnData, networks: list[Network]) -> AnnData:
    """Put networks into one AnnData over the union of their genes; `read_networks` takes them out.

    `varp["GRN"]` holds the network of all cells, `varp["GRN_<group>"]` that of a group; a further method's name stands before
    the group. Genes that a network does not have are not stored; `var["in_<group>"]` says which it has.
    """
    main = networks[0].method
    genes = np.unique(np.concatenate([network.group.genes for network in networks]))
    var = pd.DataFrame(adata.var).iloc[genes].filter(["symbol"])
    prediction = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)), var=var)
    index = []
    for network in networks:
        group, method = network.group.name, network.method
        parts = ["GRN", *([method] if method != main else []), *([group] if group != ALL_CELLS else [])]
        columns = np.searchsorted(genes, network.group.genes)
        prediction.varp["_".join(parts)] = spread(network.scores, columns, size=len(genes))
        prediction.var[f"in_{group}"] = np.isin(np.arange(len(genes)), columns)
        index.append({"key": "_".join(parts), "group": group, "method": method, "cells": len(network.group.rows)})
    prediction.uns["networks"] = pd.DataFrame(index).astype({"key": str, "group": str, "method": str})
    return prediction


def spread(
    scores: Float[np.ndarray, "gene gene"], columns: Int[np.ndarray, " gene"], *, size: int
) -> np.ndarray | sparse.csr_matrix:
    """Place a network among `size` genes."""
    if len(columns) == size:
        return scores
    lengths = np.zeros(size + 1, dtype=np.int64)
    lengths[columns + 1] = len(columns)
    shape = (size, size)
    return sparse.csr_matrix((scores.ravel(), np.tile(columns, len(columns)), np.cumsum(lengths)), shape=shape)


def read_edges(path: Path) -> pd.DataFrame:
    """Read known edges, named by gene id.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    table = pd.read_csv(path, sep="\t", dtype=str)
    if not {"regulator", "target"} <= set(table.columns):
        raise ValueError(f"{path}: expected the columns 'regulator' and 'target', found {list(table.columns)}")
    return pd.DataFrame(table[["regulator", "target"]])


def lay_out_truths(truths: Mapping[str, pd.DataFrame], *, genes: pd.Index) -> pd.DataFrame:
    """Put known networks into one table, for `uns["truth"]`: the edges that lie between the given genes.

    Other edges are neither scored nor do they make a gene a source. The categories of `truth` are all networks, in order.
    """
    parts = [
        pd.DataFrame(
            edges.loc[edges["regulator"].isin(list(genes)) & edges["target"].isin(list(genes)), ["regulator", "target"]]
        )
        for edges in truths.values()
    ]
    names = np.repeat(list(truths), [len(part) for part in parts])
    table = pd.concat(parts, ignore_index=True)
    return table.assign(truth=pd.Categorical(names, categories=list(truths)))


def read_truths(prediction: AnnData) -> dict[str, pd.DataFrame]:
    """Return the known networks of a prediction, name to edges (`regulator`, `target`); the first is Table 1's.

    Raises
    ------
    ValueError
        If there are none.
    """
    if "truth" not in prediction.uns:
        raise ValueError("the dataset has no known edges; give it a `truth` in the registry of datasets")
    table = prediction.uns["truth"]
    if "truth" not in table:
        raise ValueError("the prediction is of an older version, which had one known network; predict again")
    return {name: table.loc[table["truth"] == name, ["regulator", "target"]] for name in table["truth"].cat.categories}


def read_networks(prediction: AnnData) -> Iterator[tuple[str, str, AnnData]]:
    """Yield (group, method, network) where the network's genes are its own and `varp["GRN"]` is dense."""
    for _, row in prediction.uns["networks"].iterrows():
        inside = np.flatnonzero(prediction.var[f"in_{row['group']}"].to_numpy())
        var = pd.DataFrame(prediction.var).iloc[inside].filter(["symbol"])
        network = AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=str)), var=var)
        network.varp["GRN"] = dense(prediction.varp[row["key"]][inside][:, inside])
        yield str(row["group"]), str(row["method"]), network


def count_cells(prediction: AnnData) -> int:
    """Cells that a prediction is about: its rows, or those that its networks were made from, once for all methods."""
    if "networks" not in prediction.uns:
        return prediction.n_obs
    groups = pd.DataFrame(prediction.uns["networks"]).drop_duplicates("group")
    return int(groups["cells"].sum())
