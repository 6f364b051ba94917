"""From anybody's h5ad to the processed cells that shards, tasks and metrics read. Deterministic; one dataset at a time."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from pydantic import Field

from scprint2.config.node import Node
from scprint2.data.cellxgene import organisms_of
from scprint2.data.clusters import leiden_clusters, merge_clusters, nearest_neighbors, principal_components
from scprint2.data.genes import GeneMapping, GeneTable, map_genes
from scprint2.data.label_names import LabelNames
from scprint2.data.labels import NO_LABELS, align_labels
from scprint2.data.quality import quality_filter
from scprint2.data.registry import Dataset
from scprint2.data.validate import count_problem, read_h5ad, to_csr, validate_counts
from scprint2.files import atomic_path, write_json

MINIMUM_MAPPED = (
    0.3  # least share of gene names that must be found; whole-genome files hold up to two thirds non-coding genes
)
MINIMUM_GROUP = 10  # Methods: smaller groups of (cell type, cluster) fall back to the cell type
SEED = 0  # of the principal components' start and of Leiden
GENE_COLUMNS = ("ensembl_id", "gene_ids", "gene_id", "feature_id", "symbol", "feature_name", "gene_symbol", "gene_name")


class PreprocessingConfig(Node):
    """Values of preprocessing; each scale gives all of them.

    Attributes
    ----------
    minimum_genes
        A cell needs so many expressed genes (fewer in small gene panels).
    principal_components
        At most so many.
    neighbors, cluster_neighbors
        Neighbors that are stored, and neighbors in the graph that Leiden clusters.
    resolution
        Of Leiden.
    merge_correlation
        Clusters whose centroids correlate more are one.
    deviations
        Cells further from the median than so many median absolute deviations are dropped.
    """

    minimum_genes: int = Field(ge=1)
    principal_components: int = Field(ge=1)
    neighbors: int = Field(ge=1)
    cluster_neighbors: int = Field(ge=1)
    resolution: float = Field(gt=0)
    merge_correlation: float = Field(gt=0, le=1)
    deviations: float = Field(gt=0)


def preprocess(
    dataset: Dataset,
    raw_path: str | Path,
    table: GeneTable,
    *,
    settings: PreprocessingConfig,
    label_names: LabelNames = NO_LABELS,
) -> anndata.AnnData:
    """Validate, map to genes, filter, label, embed and cluster the cells of one dataset.

    X holds int32 counts of the genes that were found, in the order of the table. obs holds `batch`, `donor_id`, one ontology
    term per class, `cluster`, `cell_type_cluster`, `nnz` and `depth`; obsm `X_pca`, `neighbor` and `neighbor_distance`;
    uns["scprint2"] what was done: `dataset`, `organism`, `schema`, `qc`, and the reports of `genes` and `labels`.

    Raises
    ------
    ValueError
        If the file, its counts, its genes or its labels cannot be used; the message names the file and what to do.
    """
    try:
        adata = validate_counts(select_cells(read_h5ad(raw_path), dataset), file=raw_path)
        obs = pd.DataFrame(adata.obs)
        mapping = map_genes_of(adata, table, minimum_mapped=MINIMUM_MAPPED)
        mapped = _to_genes(adata, mapping, table, dataset)
        base = _base_obs(obs, dataset)
        labels = align_labels(obs, dataset=dataset, uns=adata.uns, names=label_names)
        counts = sp.csr_matrix(mapped.X)
        keep, removed = quality_filter(
            counts, obs, minimum_genes=settings.minimum_genes, deviations=settings.deviations
        )
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(str(raw_path)) else f"{raw_path}: {message}") from error
    mapped.obs = base.join(labels.frame)
    mapped.obs["nnz"] = np.diff(counts.indptr).astype(np.int32)
    mapped.obs["depth"] = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
    result = mapped[keep].copy()
    _embed_and_cluster(result, settings)
    quality = {"cells_read": adata.n_obs, "cells_kept": result.n_obs, **removed, **_gene_counts(mapping)}
    result.uns["scprint2"] = {
        "dataset": dataset.name,
        "organism": dataset.organism,
        "counts_place": adata.uns["counts_place"],
        "qc": {**quality, "genes_kept": result.n_vars},
        "schema": labels.schema,
        "unknown_labels": {name: f"{lost['cells']} cells: {lost['examples']}" for name, lost in labels.unknown.items()},
        "genes": mapping.report,
        "labels": labels.report,
    }
    return result


def write_preprocessed(
    adata: anndata.AnnData, *, cells: str | Path, genes: str | Path, labels: str | Path, qc: str | Path
) -> None:
    """Write processed cells (h5ad), reports of genes and labels (tab-separated) and of quality control (JSON), atomically."""
    record = dict(adata.uns["scprint2"])
    for report, target in ((record.pop("genes"), genes), (record.pop("labels"), labels)):
        with atomic_path(target) as path:
            report.to_csv(path, sep="\t", index=False)
    write_json(qc, record)
    slim = adata.copy()
    slim.uns["scprint2"] = record
    with atomic_path(cells) as path:
        slim.write_h5ad(path, compression="gzip")


def select_cells(adata: anndata.AnnData, dataset: Dataset) -> anndata.AnnData:
    """Return the cells of the registry's subset, and check that they are all of its organism.

    Raises
    ------
    ValueError
        If a column of the subset is missing, no cell is left, or cells of another organism are.
    """
    keep = np.ones(adata.n_obs, dtype=bool)
    for condition in filter(None, dataset.subset.split("&")):
        keep &= _meets(adata, condition)
    if not keep.any():
        raise ValueError(f"no cell of {adata.n_obs} meets subset {dataset.subset!r}; correct it in the registry.")
    chosen = adata if keep.all() else adata[keep].copy()
    found = organisms_of(pd.DataFrame(chosen.obs), chosen.uns)
    if found - {dataset.organism}:
        raise ValueError(
            f"holds cells of {sorted(found)}, the registry says {dataset.organism}. Correct the organism, or choose cells with "
            f"subset organism_ontology_term_id={dataset.organism}."
        )
    return chosen


def cell_hash(names: Sequence[str]) -> Float[np.ndarray, " cell"]:
    """Number in [0, 1) that depends on nothing but the cell's id."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.array([int.from_bytes(digest, "big") >> 11 for digest in digests], dtype=np.float64) / 2**53


def map_genes_of(adata: anndata.AnnData, table: GeneTable, *, minimum_mapped: float) -> GeneMapping:
    """Map the genes of a file: by var_names, and what they leave open by the usual columns of var.

    Raises
    ------
    ValueError
        If too few genes are found.
    """
    best = map_genes(adata.var_names.astype(str).tolist(), table)
    index, report = best.index.copy(), best.report.copy()
    for column in [name for name in GENE_COLUMNS if name in adata.var]:
        if (index >= 0).all():
            break
        other = map_genes(adata.var[column].astype(str).tolist(), table)
        better = (index < 0) & (other.index >= 0)
        index[better] = other.index[better]
        report.loc[better, ["status", "gene_id"]] = other.report.loc[better, ["status", "gene_id"]]
        report.loc[better, "by"] = f"var[{column}]"
    report["merged"] = (index >= 0) & pd.Series(index).duplicated(keep=False).to_numpy()
    mapping = GeneMapping(index, report)
    if mapping.mapped_share < minimum_mapped:  # raises: the names alone map no better
        map_genes(report["name"].tolist(), table, minimum_mapped=minimum_mapped)
    return mapping


def _meets(adata: anndata.AnnData, condition: str) -> np.ndarray:
    if condition.startswith("hash"):
        numbers = cell_hash(adata.obs_names.astype(str).tolist())
        return numbers < float(condition[5:]) if condition[4] == "<" else numbers >= float(condition[6:])
    column, value = condition.split("=", 1)
    if column not in adata.obs:
        raise ValueError(f"subset needs obs column {column!r}; found {sorted(adata.obs.columns)[:20]}.")
    return (adata.obs[column].astype(str) == value).to_numpy()


def _to_genes(adata: anndata.AnnData, mapping: GeneMapping, table: GeneTable, dataset: Dataset) -> anndata.AnnData:
    """Cells on the genes that were found, in the order of the table; columns of one gene are summed."""
    rows = np.unique(mapping.index[mapping.index >= 0])
    source = np.flatnonzero(mapping.index >= 0)
    target = np.searchsorted(rows, mapping.index[source])
    ones = np.ones(len(source), dtype=np.int64)
    sums = sp.csr_matrix((ones, (source, target)), shape=(adata.n_vars, len(rows)))
    counts = to_csr(sp.csr_matrix(adata.X) @ sums)
    if problem := count_problem(counts):
        raise ValueError(f"after mapping to genes the matrix {problem}.")
    missing = [name for name in dataset.layers if name not in adata.layers]
    if missing:
        raise ValueError(f"has no layers {missing} that the registry names; found {list(adata.layers)}.")
    layers = {name: _layer(adata.layers[name] @ sums) for name in dataset.layers}
    var = table.frame.iloc[rows][["gene_id", "symbol"]].set_index("gene_id")
    counts.data = counts.data.astype(np.int32)
    mapped = anndata.AnnData(counts, obs=pd.DataFrame(index=adata.obs_names), var=var, layers=layers)
    if "spatial" in adata.obsm:
        mapped.obsm["spatial"] = adata.obsm["spatial"]
    return mapped


def _layer(matrix: Any) -> sp.csr_matrix:
    csr = sp.csr_matrix(matrix)
    csr.sum_duplicates()
    csr.data = csr.data.astype(np.float32)
    return csr


def _base_obs(obs: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    if dataset.batch_key and dataset.batch_key not in obs:
        raise ValueError(
            f"obs has no batch column {dataset.batch_key!r}; found {sorted(obs.columns)[:20]}. Correct batch_key."
        )
    batch = obs[dataset.batch_key].astype(str) if dataset.batch_key else pd.Series(dataset.name, index=obs.index)
    frame = pd.DataFrame({"batch": pd.Categorical(batch)}, index=obs.index)
    if "donor_id" in obs:
        frame["donor_id"] = pd.Categorical(obs["donor_id"].astype(str))
    return frame


def _gene_counts(mapping: GeneMapping) -> dict[str, int]:
    statuses = mapping.report["status"].tolist()
    found = {f"genes_{status}": statuses.count(status) for status in ("mapped", "ambiguous", "dropped", "unknown")}
    return found | {"genes_merged": int(mapping.report["merged"].sum())}


def _embed_and_cluster(adata: anndata.AnnData, settings: PreprocessingConfig) -> None:
    components = principal_components(sp.csr_matrix(adata.X), settings.principal_components, seed=SEED)
    found = nearest_neighbors(components, max(settings.neighbors, settings.cluster_neighbors))
    adata.obsm["X_pca"] = components
    adata.obsm["neighbor"] = found.index[:, : settings.neighbors]
    adata.obsm["neighbor_distance"] = found.distance[:, : settings.neighbors]
    graph = found.index[:, : settings.cluster_neighbors]
    clusters = leiden_clusters(graph, resolution=settings.resolution, seed=SEED)
    clusters = merge_clusters(clusters, components, correlation=settings.merge_correlation)
    cell_types = adata.obs["cell_type_ontology_term_id"].astype(str)
    adata.obs["cluster"] = pd.Categorical(clusters.astype(str))
    groups = cell_types + "|" + adata.obs["cluster"].astype(str)
    small = groups.map(groups.value_counts()) < MINIMUM_GROUP
    adata.obs["cell_type_cluster"] = pd.Categorical(groups.where(~small, cell_types))
