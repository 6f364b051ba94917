"""From anybody's h5ad to the processed cells that shards, tasks and metrics read. Deterministic; one dataset at a time."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field

from scprint2.config.node import Node
from scprint2.data.cellxgene import organisms_of
from scprint2.data.clusters import EXACT_CELLS, leiden_clusters, merge_clusters, nearest_neighbors, principal_components
from scprint2.data.count_store import Counts, all_counts, store_counts
from scprint2.data.genes import GeneMapping, GeneTable, map_genes
from scprint2.data.label_names import LabelNames
from scprint2.data.labels import NO_LABELS, align_labels
from scprint2.data.quality import Measures, Secondary, measure_cells, quality_filter
from scprint2.data.raw_cells import RawCells, RawMatrix
from scprint2.data.registry import Dataset
from scprint2.data.streamed_components import streamed_components
from scprint2.data.validate import count_problem, open_cells, to_csr
from scprint2.files import atomic_path

MINIMUM_MAPPED = (
    0.3  # least share of gene names that must be found; whole-genome files hold up to two thirds non-coding genes
)
MINIMUM_GROUP = 10  # Methods: smaller groups of (cell type, cluster) fall back to the cell type
SEED = 0  # of the principal components' start and of Leiden
MITOCHONDRIAL = frozenset(["MT", "chrM", "M", "MtDNA", "Mito"])  # what the chromosome is called
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


@dataclass(frozen=True)
class ProcessedCells:
    """The cells of one dataset that were kept, ready to become a shard or an AnnData object.

    Attributes
    ----------
    counts
        Counts of the genes that were found, in the order of the gene table.
    obs
        `batch`, `donor_id`, one ontology term per class, `cluster`, `cell_type_cluster`, `nnz` and `depth`.
    var
        Gene ids and symbols.
    obsm
        `X_pca`, `neighbor` and `neighbor_distance`; `spatial` where the file has it.
    layers
        Those that the registry names, in memory.
    record
        What was done: `dataset`, `organism`, `schema`, `counts_place`, `qc`, `unknown_labels`, and the reports of `genes` and
        `labels`.
    measures, reason
        Of all cells that were read: what quality control measured, and why it dropped or kept each.
    """

    counts: Counts
    obs: pd.DataFrame
    var: pd.DataFrame
    obsm: dict[str, np.ndarray]
    layers: dict[str, sp.csr_matrix]
    record: dict[str, Any]
    measures: Measures
    reason: Shaped[np.ndarray, " read"]

    def to_anndata(self) -> anndata.AnnData:
        """Return everything but the measures as an AnnData object, in memory."""
        return anndata.AnnData(
            all_counts(self.counts),
            obs=self.obs,
            var=self.var,
            obsm=dict(self.obsm),  # type: ignore[arg-type]
            layers=self.layers,
            uns={"scprint2": dict(self.record)},
        )


def preprocess(
    dataset: Dataset,
    raw_path: str | Path,
    table: GeneTable,
    *,
    settings: PreprocessingConfig,
    label_names: LabelNames = NO_LABELS,
    secondary: Secondary = "drop",
) -> anndata.AnnData:
    """Process a dataset that fits into memory; see `processed` for what is done, and `ProcessedCells` for what comes back."""
    with processed(
        dataset, raw_path, table, settings=settings, scratch=None, label_names=label_names, secondary=secondary
    ) as cells:
        return cells.to_anndata()


@contextmanager
def processed(
    dataset: Dataset,
    raw_path: str | Path,
    table: GeneTable,
    *,
    settings: PreprocessingConfig,
    scratch: str | Path | None,
    label_names: LabelNames = NO_LABELS,
    secondary: Secondary = "drop",
) -> Iterator[ProcessedCells]:
    """Validate, map to genes, filter, label, embed and cluster the cells of one dataset.

    The file is read block by block; counts on the genes of the table lie in a temporary folder inside `scratch` (None: where the
    system keeps such folders) until the context ends. `label_names` are what the dataset's own labels stand for. `secondary`
    cells, which were published before in another dataset, leave a training dataset; a test set keeps them (D115).

    Raises
    ------
    ValueError
        If the file, its counts, its genes or its labels cannot be used; the message names the file and what to do.
    """
    with tempfile.TemporaryDirectory(prefix="counts-", dir=scratch) as folder:
        try:
            with open_cells(raw_path, scratch=folder) as raw:
                cells = _read_and_filter(
                    dataset,
                    raw,
                    table,
                    settings=settings,
                    label_names=label_names,
                    secondary=secondary,
                    folder=Path(folder),
                )
        except ValueError as error:
            message = str(error)
            raise ValueError(message if message.startswith(str(raw_path)) else f"{raw_path}: {message}") from error
        _embed_and_cluster(cells, settings)
        yield cells


def _read_and_filter(
    dataset: Dataset,
    raw: RawCells,
    table: GeneTable,
    *,
    settings: PreprocessingConfig,
    label_names: LabelNames,
    secondary: Secondary,
    folder: Path,
) -> ProcessedCells:
    chosen = select_cells(raw, dataset)
    obs = raw.obs.loc[chosen]
    mapping = map_genes_of(raw.var, table, minimum_mapped=MINIMUM_MAPPED)
    found = np.unique(mapping.index[mapping.index >= 0])
    sums = summing_matrix(mapping.index, found)
    mitochondrial = is_mitochondrial(table)[found]
    measures: list[Measures] = []
    counts = store_counts(_mapped(raw.counts, chosen, sums, mitochondrial, measures), folder, genes=len(found))
    base = _base_obs(obs, dataset)
    labels = align_labels(obs, dataset=dataset, uns=raw.uns, names=label_names)
    measured = Measures.join(measures)
    quality = quality_filter(
        measured,
        obs,
        genes=len(found),
        minimum_genes=settings.minimum_genes,
        deviations=settings.deviations,
        secondary=secondary,
    )
    rows = np.flatnonzero(chosen)[quality.keep]
    layers = {name: _layer(raw, name, rows, sums) for name in dataset.layers}
    obsm = {} if raw.spatial is None else {"spatial": raw.spatial[rows]}
    frame = base.join(labels.frame).assign(nnz=measured.genes.astype(np.int32), depth=measured.depth)
    numbers = {
        "cells_read": len(obs),
        "cells_kept": int(quality.keep.sum()),
        **quality.removed,
        **_gene_counts(mapping),
    }
    record = {
        "dataset": dataset.name,
        "organism": dataset.organism,
        "counts_place": raw.place,
        "qc": {**numbers, "genes_kept": len(found), "genes_mitochondrial": int(mitochondrial.sum())},
        "schema": labels.schema,
        "unknown_labels": {name: f"{lost['cells']} cells: {lost['examples']}" for name, lost in labels.unknown.items()},
        "genes": mapping.report,
        "labels": labels.report,
    }
    var = table.frame.iloc[found][["gene_id", "symbol"]].set_index("gene_id")
    kept = counts.select(quality.keep)
    return ProcessedCells(
        kept, _used_categories(frame.loc[quality.keep]), var, obsm, layers, record, measured, quality.reason
    )


def write_cells(adata: anndata.AnnData, path: str | Path) -> None:
    """Write processed cells as h5ad, atomically, without the reports of genes and labels, which are files of their own."""
    slim = adata.copy()
    record = adata.uns["scprint2"]
    slim.uns["scprint2"] = {name: value for name, value in record.items() if name not in ("genes", "labels")}
    with atomic_path(path) as temporary:
        slim.write_h5ad(temporary, compression="gzip")


def select_cells(raw: RawCells, dataset: Dataset) -> Bool[np.ndarray, " cell"]:
    """Say which cells are in the registry's subset, and check that they are all of its organism.

    Raises
    ------
    ValueError
        If a column of the subset is missing, no cell is left, or cells of another organism are.
    """
    keep = np.ones(len(raw.obs), dtype=bool)
    for condition in filter(None, dataset.subset.split("&")):
        keep &= _meets(raw.obs, condition)
    if not keep.any():
        raise ValueError(f"no cell of {len(keep)} meets subset {dataset.subset!r}; correct it in the registry.")
    found = organisms_of(raw.obs.loc[keep], raw.uns)
    if found - {dataset.organism}:
        raise ValueError(
            f"holds cells of {sorted(found)}, the registry says {dataset.organism}. Correct the organism, or choose cells with "
            f"subset organism_ontology_term_id={dataset.organism}."
        )
    return keep


def cell_hash(names: Sequence[str]) -> Float[np.ndarray, " cell"]:
    """Number in [0, 1) that depends on nothing but the cell's id."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.array([int.from_bytes(digest, "big") >> 11 for digest in digests], dtype=np.float64) / 2**53


def map_genes_of(var: pd.DataFrame, table: GeneTable, *, minimum_mapped: float) -> GeneMapping:
    """Map the genes of a file: by var_names, and what they leave open by the usual columns of var.

    Raises
    ------
    ValueError
        If too few genes are found.
    """
    best = map_genes(var.index.tolist(), table)
    index, report = best.index.copy(), best.report.copy()
    for column in [name for name in GENE_COLUMNS if name in var]:
        if (index >= 0).all():
            break
        other = map_genes(var[column].astype(str).tolist(), table)
        better = (index < 0) & (other.index >= 0)
        index[better] = other.index[better]
        report.loc[better, ["status", "gene_id"]] = other.report.loc[better, ["status", "gene_id"]]
        report.loc[better, "by"] = f"var[{column}]"
    report["merged"] = (index >= 0) & pd.Series(index).duplicated(keep=False).to_numpy()
    mapping = GeneMapping(index, report)
    if mapping.mapped_share < minimum_mapped:  # raises: the names alone map no better
        map_genes(report["name"].tolist(), table, minimum_mapped=minimum_mapped)
    return mapping


def is_mitochondrial(table: GeneTable) -> Bool[np.ndarray, " gene"]:
    """True for the genes of the mitochondrial genome, known by chromosome or by symbol (MT-ND1)."""
    on_it = table.frame["chromosome"].isin(list(MITOCHONDRIAL))
    return (on_it | table.frame["symbol"].str.upper().str.startswith("MT-")).to_numpy()


def _meets(obs: pd.DataFrame, condition: str) -> np.ndarray:
    if condition.startswith("hash"):
        numbers = cell_hash(obs.index.tolist())
        return numbers < float(condition[5:]) if condition[4] == "<" else numbers >= float(condition[6:])
    column, value = condition.split("=", 1)
    if column not in obs:
        raise ValueError(f"subset needs obs column {column!r}; found {sorted(obs.columns)[:20]}.")
    return (obs[column].astype(str) == value).to_numpy()


def summing_matrix(index: Int[np.ndarray, " name"], found: Int[np.ndarray, " found"]) -> sp.csr_matrix:
    """Matrix that brings columns of the file to the genes found, in the order of the table; columns of one gene are summed."""
    source = np.flatnonzero(index >= 0)
    target = np.searchsorted(found, index[source])
    return sp.csr_matrix((np.ones(len(source), np.int64), (source, target)), shape=(len(index), len(found)))


def _mapped(
    matrix: RawMatrix, chosen: np.ndarray, sums: sp.csr_matrix, mitochondrial: np.ndarray, measures: list[Measures]
) -> Iterator[sp.csr_matrix]:
    """Counts of the chosen cells on the genes that were found, block by block; measures are added to the list."""
    for rows, block in matrix.blocks():
        counts = to_csr(block[chosen[rows]] @ sums)
        if problem := count_problem(counts):
            raise ValueError(f"after mapping to genes the matrix {problem}.")
        counts.data = counts.data.astype(np.int32)
        measures.append(measure_cells(counts, mitochondrial=mitochondrial))
        yield counts


def _layer(raw: RawCells, name: str, rows: np.ndarray, sums: sp.csr_matrix) -> sp.csr_matrix:
    if name not in raw.layers:
        raise ValueError(f"has no layers {[name]} that the registry names; found {list(raw.layers)}.")
    matrix = sp.csr_matrix(sp.vstack([block for _, block in raw.layers[name].blocks()]))
    csr = sp.csr_matrix(matrix[rows] @ sums)
    csr.sum_duplicates()
    csr.data = csr.data.astype(np.float32)
    return csr


def _used_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Categories that no kept cell has are forgotten."""
    columns = {
        str(name): column.cat.remove_unused_categories()
        for name, column in frame.items()
        if isinstance(column.dtype, pd.CategoricalDtype)
    }
    return frame.assign(**columns)


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


def _embed_and_cluster(cells: ProcessedCells, settings: PreprocessingConfig) -> None:
    components = _components(cells.counts, settings.principal_components)
    found = nearest_neighbors(components, max(settings.neighbors, settings.cluster_neighbors))
    cells.obsm["X_pca"] = components
    cells.obsm["neighbor"] = found.index[:, : settings.neighbors]
    cells.obsm["neighbor_distance"] = found.distance[:, : settings.neighbors]
    graph = found.index[:, : settings.cluster_neighbors]
    clusters = leiden_clusters(graph, resolution=settings.resolution, seed=SEED)
    clusters = merge_clusters(clusters, components, correlation=settings.merge_correlation)
    cell_types = cells.obs["cell_type_ontology_term_id"].astype(str)
    cells.obs["cluster"] = pd.Categorical(clusters.astype(str))
    groups = cell_types + "|" + cells.obs["cluster"].astype(str)
    small = groups.map(groups.value_counts()) < MINIMUM_GROUP
    cells.obs["cell_type_cluster"] = pd.Categorical(groups.where(~small, cell_types))


def _components(counts: Counts, components: int) -> Float[np.ndarray, "cell component"]:
    """Of all genes in memory where there are few cells, else streamed."""
    if counts.shape[0] > EXACT_CELLS:
        return streamed_components(counts, components)
    return principal_components(all_counts(counts), components, seed=SEED)
