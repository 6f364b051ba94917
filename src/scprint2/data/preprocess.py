"""From anybody's h5ad to the processed cells that shards, tasks and metrics read. Deterministic; one dataset at a time."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import igraph
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.sparse.csgraph import connected_components
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from scprint2.config.node import Node
from scprint2.data.genes import GeneMapping, GeneTable, map_genes
from scprint2.data.labels import align_labels
from scprint2.data.registry import Dataset
from scprint2.data.validate import count_problem, read_h5ad, to_csr, validate_counts
from scprint2.files import atomic_path, write_json

NO_NEIGHBOR = -1
NORMALIZED_TOTAL = 10_000  # counts per cell before the logarithm
LARGEST_SCALED = 10  # scaled values are cut here, as scanpy's tutorials do, lest one rare gene is a principal component
TOP_GENES = 20  # the share of a cell's counts in so many genes is the third quantity that outliers are sought in
GENE_COLUMNS = ("ensembl_id", "gene_ids", "gene_id", "feature_id", "symbol", "feature_name", "gene_symbol", "gene_name")


class PreprocessingConfig(Node):
    """Values of preprocessing; each scale gives all of them.

    Attributes
    ----------
    minimum_genes, minimum_gene_share
        A cell needs so many expressed genes, or this share of the genes measured where that is less (small gene panels).
    outlier_deviations
        Cells further from the median than so many median absolute deviations are dropped.
    minimum_mapped
        Least share of the gene names that must be found in the gene table.
    stored_neighbors, cluster_neighbors
        Neighbors that are stored, and neighbors in the graph that Leiden clusters.
    merge_correlation
        Clusters whose centroids correlate more are one.
    minimum_group
        Smaller groups of (cell type, cluster) fall back to the cell type.
    """

    minimum_genes: int = Field(ge=1)
    minimum_gene_share: float = Field(ge=0, le=1)
    outlier_deviations: float = Field(gt=0)
    minimum_mapped: float = Field(ge=0, le=1)
    principal_components: int = Field(ge=1)
    stored_neighbors: int = Field(ge=1)
    cluster_neighbors: int = Field(ge=1)
    leiden_resolution: float = Field(gt=0)
    merge_correlation: float = Field(gt=0, le=1)
    minimum_group: int = Field(ge=1)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class Neighbors:
    """Nearest other cells, nearest first.

    Attributes
    ----------
    index
        Row of each neighbor, -1 where there are too few cells.
    distance
        Euclidean distance, 0 where there is no neighbor.
    """

    index: Int[np.ndarray, "cell neighbor"]
    distance: Float[np.ndarray, "cell neighbor"]


def preprocess(
    dataset: Dataset, raw_path: str | Path, table: GeneTable, *, settings: PreprocessingConfig
) -> anndata.AnnData:
    """Validate, map to genes, filter, label, embed and cluster the cells of one dataset.

    X holds int32 counts of the genes that were found, in the order of the table. obs holds `batch`, `donor_id`, one ontology
    term per class, `cluster`, `cell_type_cluster`, `nnz` and `depth`; obsm `X_pca`, `neighbor` and `neighbor_distance`;
    uns["scprint2"] what was done: `dataset`, `organism`, `qc` and the gene report `genes`.

    Raises
    ------
    ValueError
        If the file, its counts, its genes or its labels cannot be used; the message names the file, what was found and what to do.
    """
    try:
        adata = validate_counts(select_cells(read_h5ad(raw_path), dataset), file=raw_path)
        mapping = map_genes_of(adata, table, minimum_mapped=settings.minimum_mapped)
        mapped = _to_genes(adata, mapping, table, dataset)
        labels = align_labels(adata.obs, dataset=dataset)
        keep, removed = quality_filter(mapped.X, adata.obs, settings)
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(str(raw_path)) else f"{raw_path}: {message}") from error
    mapped.obs = _base_obs(adata.obs, dataset).join(labels.frame)
    mapped.obs["nnz"] = np.diff(mapped.X.indptr).astype(np.int32)
    mapped.obs["depth"] = np.asarray(mapped.X.sum(axis=1)).ravel().astype(np.int64)
    result = mapped[keep].copy()
    _embed_and_cluster(result, settings)
    result.uns["scprint2"] = {
        "dataset": dataset.name,
        "organism": dataset.organism,
        "counts_place": adata.uns["counts_place"],
        "qc": {
            "cells_read": adata.n_obs,
            "cells_kept": result.n_obs,
            **removed,
            **_gene_counts(mapping),
            "genes_kept": result.n_vars,
        },
        "unknown_labels": {name: f"{lost['cells']} cells: {lost['examples']}" for name, lost in labels.unknown.items()},
        "genes": mapping.report,
    }
    return result


def write_preprocessed(adata: anndata.AnnData, *, cells: str | Path, genes: str | Path, qc: str | Path) -> None:
    """Write processed cells (h5ad), their gene report (tab-separated) and what quality control did (JSON), atomically."""
    record = dict(adata.uns["scprint2"])
    report = record.pop("genes")
    write_json(qc, {name: value for name, value in record.items()})
    with atomic_path(genes) as path:
        report.to_csv(path, sep="\t", index=False)
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
    found = _organisms(chosen)
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
    if (index >= 0).mean() < minimum_mapped:
        map_genes(report["name"].tolist(), table, minimum_mapped=minimum_mapped)
    report["merged"] = (index >= 0) & pd.Series(index).duplicated(keep=False).to_numpy()
    return GeneMapping(index, report)


def quality_filter(
    counts: sp.csr_matrix, obs: pd.DataFrame, settings: PreprocessingConfig
) -> tuple[Bool[np.ndarray, " cell"], dict[str, int]]:
    """Cells to keep, and how many were removed for which reason (each cell counts once, for the first that applies).

    Raises
    ------
    ValueError
        If no cell is left.
    """
    threshold = min(settings.minimum_genes, int(np.ceil(settings.minimum_gene_share * counts.shape[1])))
    keep = np.ones(counts.shape[0], dtype=bool)
    removed = {"minimum_genes": threshold}
    not_primary = ~obs["is_primary_data"].astype(str).eq("True").to_numpy() if "is_primary_data" in obs else ~keep
    tests = {
        "removed_not_primary": lambda rows: not_primary[rows],
        "removed_few_genes": lambda rows: np.diff(counts.indptr)[rows] < threshold,
        "removed_duplicates": lambda rows: _is_repeated(counts[rows]),
        "removed_outliers": lambda rows: _is_outlier(counts[rows], settings.outlier_deviations),
    }
    for name, test in tests.items():
        rows = np.flatnonzero(keep)
        bad = rows[test(rows)] if len(rows) else rows
        keep[bad] = False
        removed[name] = len(bad)
    if not keep.any():
        raise ValueError(
            f"quality control leaves no cell of {len(keep)}: {removed}. Lower minimum_genes, or give primary data."
        )
    return keep, removed


def _meets(adata: anndata.AnnData, condition: str) -> np.ndarray:
    if condition.startswith("hash"):
        numbers = cell_hash(adata.obs_names.astype(str).tolist())
        return numbers < float(condition[5:]) if condition[4] == "<" else numbers >= float(condition[6:])
    column, value = condition.split("=", 1)
    if column not in adata.obs:
        raise ValueError(f"subset needs obs column {column!r}; found {sorted(adata.obs.columns)[:20]}.")
    return (adata.obs[column].astype(str) == value).to_numpy()


def _organisms(adata: anndata.AnnData) -> set[str]:
    """Organisms of the cells: obs up to CELLxGENE schema 5, uns from schema 6 on; empty when the file does not say."""
    given = adata.obs.get("organism_ontology_term_id")
    found = set(given.astype(str)) if given is not None else {str(adata.uns.get("organism_ontology_term_id", ""))}
    return {organism for organism in found if organism.startswith("NCBITaxon:")}


def _to_genes(adata: anndata.AnnData, mapping: GeneMapping, table: GeneTable, dataset: Dataset) -> anndata.AnnData:
    """Cells on the genes that were found, in the order of the table; columns of one gene are summed."""
    rows = np.unique(mapping.index[mapping.index >= 0])
    source = np.flatnonzero(mapping.index >= 0)
    target = np.searchsorted(rows, mapping.index[source])
    ones = np.ones(len(source), dtype=np.int64)
    sums = sp.csr_matrix((ones, (source, target)), shape=(adata.n_vars, len(rows)))
    counts = to_csr(adata.X @ sums)
    if problem := count_problem(counts):
        raise ValueError(f"after mapping to genes the matrix {problem}.")
    missing = [name for name in dataset.layers if name not in adata.layers]
    if missing:
        raise ValueError(f"has no layers {missing} that the registry names; found {list(adata.layers)}.")
    layers = {name: _layer(adata.layers[name] @ sums) for name in dataset.layers}
    var = table.frame.iloc[rows][["gene_id", "symbol"]].set_index("gene_id")
    kept = {name: adata.obsm[name] for name in ("spatial",) if name in adata.obsm}
    counts.data = counts.data.astype(np.int32)
    return anndata.AnnData(counts, obs=pd.DataFrame(index=adata.obs_names), var=var, layers=layers, obsm=kept)


def _layer(matrix: Any) -> sp.csr_matrix:
    csr = sp.csr_matrix(matrix)
    csr.sum_duplicates()
    return csr.astype(np.float32)


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
    counts = mapping.report["status"].value_counts()
    found = {f"genes_{status}": int(counts.get(status, 0)) for status in ("mapped", "ambiguous", "unknown")}
    return found | {"genes_merged": int(mapping.report["merged"].sum())}


def _is_repeated(counts: sp.csr_matrix) -> np.ndarray:
    """True for a cell whose counts are exactly those of an earlier one."""
    seen: set[bytes] = set()
    repeated = np.zeros(counts.shape[0], dtype=bool)
    for row, (start, stop) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
        key = hashlib.blake2b(counts.indices[start:stop].tobytes(), digest_size=16)
        key.update(counts.data[start:stop].tobytes())
        repeated[row] = key.digest() in seen
        seen.add(key.digest())
    return repeated


def _is_outlier(counts: sp.csr_matrix, deviations: float) -> np.ndarray:
    depth = np.asarray(counts.sum(axis=1)).ravel().astype(np.float64)
    top = np.array([_top_sum(counts.data[a:b]) for a, b in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)])
    bad = np.zeros(len(depth), dtype=bool)
    for values in (np.log1p(depth), np.log1p(np.diff(counts.indptr)), top / np.maximum(depth, 1)):
        distance = np.abs(values - np.median(values))
        spread = np.median(distance)
        bad |= (distance > deviations * spread) & (spread > 0)
    return bad


def _top_sum(values: np.ndarray) -> float:
    return float(values.sum() if len(values) <= TOP_GENES else np.partition(values, -TOP_GENES)[-TOP_GENES:].sum())


def _embed_and_cluster(adata: anndata.AnnData, settings: PreprocessingConfig) -> None:
    components = principal_components(adata.X, settings.principal_components, seed=settings.seed)
    found = nearest_neighbors(components, max(settings.stored_neighbors, settings.cluster_neighbors))
    adata.obsm["X_pca"] = components
    adata.obsm["neighbor"] = found.index[:, : settings.stored_neighbors]
    adata.obsm["neighbor_distance"] = found.distance[:, : settings.stored_neighbors]
    graph = found.index[:, : settings.cluster_neighbors]
    clusters = leiden_clusters(graph, resolution=settings.leiden_resolution, seed=settings.seed)
    clusters = merge_clusters(clusters, components, correlation=settings.merge_correlation)
    cell_types = adata.obs["cell_type_ontology_term_id"].astype(str)
    adata.obs["cluster"] = pd.Categorical(clusters.astype(str))
    groups = cell_types + "|" + adata.obs["cluster"].astype(str)
    small = groups.map(groups.value_counts()) < settings.minimum_group
    adata.obs["cell_type_cluster"] = pd.Categorical(groups.where(~small, cell_types))


def principal_components(counts: sp.csr_matrix, components: int, *, seed: int) -> Float[np.ndarray, "cell component"]:
    """Principal components of log-normalized, scaled counts; fewer where there are few cells or genes. Stays sparse.

    Source: Methods, "preprocessing": log-normalize, scale, PCA.
    """
    expression = counts.astype(np.float32)
    totals = np.asarray(expression.sum(axis=1)).ravel()
    expression = sp.diags_array(NORMALIZED_TOTAL / np.maximum(totals, 1)) @ expression
    expression = sp.csr_matrix(expression, dtype=np.float32)
    expression.data = np.log1p(expression.data)
    mean = np.asarray(expression.mean(axis=0)).ravel()
    square = np.asarray(expression.multiply(expression).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    varying = deviation > 1e-6
    scaled = expression[:, varying] @ sp.diags_array(1 / deviation[varying])
    scaled = sp.csr_matrix(scaled, dtype=np.float32)
    scaled.data = np.minimum(scaled.data, LARGEST_SCALED)
    rank = min(components, min(scaled.shape) - 1)
    if rank < 1:
        return np.zeros((counts.shape[0], 1), dtype=np.float32)
    return PCA(rank, svd_solver="arpack", random_state=seed).fit_transform(scaled).astype(np.float32)


def nearest_neighbors(points: Float[np.ndarray, "cell component"], neighbors: int) -> Neighbors:
    """Exact nearest other cells, computed block by block."""
    cells = len(points)
    index = np.full((cells, neighbors), NO_NEIGHBOR, dtype=np.int32)
    distance = np.zeros((cells, neighbors), dtype=np.float32)
    found = min(neighbors, cells - 1)
    if found > 0:
        search = NearestNeighbors(n_neighbors=found, algorithm="brute").fit(points)
        distance[:, :found], index[:, :found] = search.kneighbors()
    return Neighbors(index, distance)


def leiden_clusters(
    neighbors: Int[np.ndarray, "cell neighbor"], *, resolution: float, seed: int
) -> Int[np.ndarray, " cell"]:
    """Leiden clusters of the graph whose edges weigh the share of neighbors that two cells have in common; 0 is the largest."""
    cells = len(neighbors)
    rows, columns = np.nonzero(neighbors >= 0)
    if len(rows) == 0:
        return np.zeros(cells, dtype=np.int64)
    ones = np.ones(len(rows) + cells, dtype=np.float32)
    to = np.concatenate([neighbors[rows, columns], np.arange(cells)])
    near = sp.csr_matrix((ones, (np.concatenate([rows, np.arange(cells)]), to)), shape=(cells, cells))
    shared = sp.triu((near @ near.T).multiply(near + near.T > 0), k=1).tocoo()
    sizes = np.asarray(near.sum(axis=1)).ravel()
    weights = shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data)
    graph = igraph.Graph(n=cells, edges=np.column_stack([shared.row, shared.col]))
    igraph.set_random_number_generator(random.Random(seed))
    found = graph.community_leiden("modularity", weights=weights.tolist(), resolution=resolution, n_iterations=2)
    igraph.set_random_number_generator(random)
    return _by_size(np.array(found.membership))


def merge_clusters(
    clusters: Int[np.ndarray, " cell"], points: Float[np.ndarray, "cell component"], *, correlation: float
) -> Int[np.ndarray, " cell"]:
    """Join clusters whose centroids correlate more than this, also through a third one.

    Source: Methods, "cluster-weighted sampling": clusters are merged above a centroid correlation of 94 %.
    """
    count = clusters.max() + 1
    if count < 2 or points.shape[1] < 3:
        return clusters
    centroids = np.stack([points[clusters == cluster].mean(axis=0) for cluster in range(count)])
    alike = np.nan_to_num(np.corrcoef(centroids)) > correlation
    return _by_size(connected_components(sp.csr_matrix(alike), directed=False)[1][clusters])


def _by_size(clusters: np.ndarray) -> np.ndarray:
    """Number clusters by falling size, ties by first cell."""
    _, first, inverse, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    return np.argsort(order)[inverse]
