"""A trained model on anybody's AnnData: embed, annotate, denoise, and infer gene networks.

Cells need raw counts (in X, raw.X or layers["counts"]) and genes named by id or symbol; nothing else. X is never written to, no
cell is dropped.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Int
from scipy import sparse

from scprint2.data import ontology
from scprint2.data.cellxgene import ORGANISM, organisms_of
from scprint2.data.genes import COLUMNS, GeneMapping, GeneTable
from scprint2.data.preprocess import MINIMUM_MAPPED, map_genes_of, summing_matrix
from scprint2.data.validate import FIX_COUNTS, check_names, check_orientation, count_problem, to_csr
from scprint2.tasks.annotate import classify_cells
from scprint2.tasks.answers import call_best
from scprint2.tasks.denoise import denoise_cells
from scprint2.tasks.embed import embed_cells, list_kinds, pool_tokens
from scprint2.tasks.inference import Reader, add_neighbors, count_neighbors
from scprint2.tasks.layout import ALL_CELLS, DENOISED, EMBEDDING, TERM, UNINFLATED
from scprint2.tasks.networks import Method, NetworkSettings, predict_networks
from scprint2.tasks.selection import variable_genes
from scprint2.training.checkpoint import PretrainedModel
from scprint2.versions import installed_versions

LOG = logging.getLogger(__name__)
GIVEN = "the AnnData"
PROVENANCE = "scprint2"  # uns: what was done, by verb
LEAST_CELLS = 10  # of a group, for a network
COMPONENTS = 50  # in which a model that reads neighbors is given them


@dataclass(frozen=True)
class OwnCells:
    """Cells as a model reads them.

    Attributes
    ----------
    cells
        Raw counts on the genes that the model knows, named by its ids, and the neighbors that it needs.
    mapping
        What each gene of the file stands for.
    place
        Where the counts were found.
    """

    cells: AnnData
    mapping: GeneMapping
    place: str

    @property
    def organism(self) -> str:
        """NCBITaxon id."""
        return str(self.cells.obs[ORGANISM].iloc[0])


def read_cells(pretrained: PretrainedModel, adata: AnnData, *, organism: str | None = None) -> OwnCells:
    """Find the raw counts and the genes of cells.

    Parameters
    ----------
    organism
        NCBITaxon id or scientific name. By default what the AnnData says (`organism_ontology_term_id`), else the organism of the
        model that most of the genes belong to.

    Raises
    ------
    ValueError
        If there are no raw counts, names are given twice, genes stand in rows, the model does not know the organism, or too few
        genes are found. The message says what to do.
    """
    adata = adata.to_memory() if adata.isbacked else adata
    if not adata.n_obs or not adata.n_vars:
        raise ValueError(f"{GIVEN} holds {adata.n_obs} cells and {adata.n_vars} genes; both must be more than 0.")
    check_orientation(adata.obs_names, adata.var_names, GIVEN)
    check_names(adata.obs_names, "cells (obs_names)", "Use adata.obs_names_make_unique().", GIVEN)
    place, counts, var = _find_counts(adata)
    check_names(var.index, "genes (var_names)", "Use gene ids, or sum the columns of one gene.", GIVEN)
    taxon, mapping = _map_to_organism(pretrained, adata, var, organism=organism)
    found = np.unique(mapping.index[mapping.index >= 0])
    table = gene_table(pretrained, taxon).frame.iloc[found]
    summed = sparse.csr_matrix(counts @ summing_matrix(mapping.index, found))
    if problem := count_problem(summed):
        raise ValueError(f"{GIVEN}: after mapping to genes the matrix {problem}.")
    own = AnnData(
        summed.astype(np.int32),
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame({"symbol": table["symbol"].to_numpy()}, index=pd.Index(table["gene_id"], name="gene_id")),
    )
    own.obs[ORGANISM] = taxon
    if count_neighbors(pretrained):
        add_neighbors(own, components=COMPONENTS)
    LOG.info(
        "%d cells; %d of %d genes are known of %s; counts from %s",
        own.n_obs, own.n_vars, len(var), ontology.label(taxon), place,
    )  # fmt: skip
    return OwnCells(own, mapping, place)


def embed(
    pretrained: PretrainedModel,
    adata: AnnData,
    *,
    organism: str | None = None,
    kinds: Sequence[str] = ("cell_type",),
    max_genes: int | None = None,
    batch_size: int = 64,
) -> None:
    """Embed cells: the first kind into `obsm["X_scprint2"]`, others into `obsm["X_scprint2_<kind>"]`.

    Parameters
    ----------
    organism
        See `read_cells`, also for what is raised.
    kinds
        Names of classes of the model, `free` (the unsupervised embedding), `all`, `mean`, or `each` (classes and the free one).
    max_genes
        Genes of each cell that the model sees, the highest counts first; as many as it was trained on by default.

    Raises
    ------
    ValueError
        If the model has no embedding of that name.
    """
    own = read_cells(pretrained, adata, organism=organism)
    reader = Reader(pretrained, own.cells)
    names, classes = list_kinds(tuple(kinds), classes=pretrained.labels.classes), pretrained.labels.classes
    selector = reader.top_expressed(max_genes or _trained_genes(pretrained))
    tokens = embed_cells(reader, selector=selector, batch_size=batch_size)
    embeddings = [pool_tokens(tokens, classes=classes, kind=kind).numpy() for kind in names]
    for number, (kind, embedding) in enumerate(zip(names, embeddings, strict=True)):
        adata.obsm[f"{EMBEDDING}_{kind}" if number else EMBEDDING] = embedding.astype(np.float32)
    _note(adata, "embed", pretrained, own, kinds=names)


def annotate(
    pretrained: PretrainedModel,
    adata: AnnData,
    *,
    organism: str | None = None,
    classes: Sequence[str] | None = None,
    least_confidence: float = 0.0,
    max_genes: int | None = None,
    batch_size: int = 64,
) -> None:
    """Predict labels: `obs["scprint2_<class>"]`, with `_ontology_term_id` and `_confidence` behind it in two more columns.

    Parameters
    ----------
    organism, max_genes
        See `embed`.
    classes
        What to predict, such as `cell_type` and `disease`; by default all that the model has labels for but the organism.
    least_confidence
        A cell whose best label has less is called `unknown`.

    Raises
    ------
    ValueError
        If the model does not predict a class.
    """
    labeled = [table.name for table in pretrained.labels.tables if table.leaves and table.name != "organism"]
    names = list(classes or labeled)
    if set(names) - set(labeled):
        raise ValueError(f"the model has no labels of {sorted(set(names) - set(labeled))}; it has those of {labeled}.")
    own = read_cells(pretrained, adata, organism=organism)
    reader = Reader(pretrained, own.cells)
    selector = reader.top_expressed(max_genes or _trained_genes(pretrained))
    evidence = classify_cells(reader, names, selector=selector, batch_size=batch_size)
    for name in names:
        calls = call_best(evidence[name].logits, evidence[name].leaves, least_confidence=least_confidence)
        known = pretrained.labels[name].names
        labels = [known.get(term) or ontology.label(term) for term in calls.terms.tolist()]
        adata.obs[f"scprint2_{name}"] = pd.Categorical(labels)
        adata.obs[f"scprint2_{name}_ontology_term_id"] = pd.Categorical(calls.terms)
        adata.obs[f"scprint2_{name}_confidence"] = calls.confidence
    _note(adata, "annotate", pretrained, own, classes=names, least_confidence=least_confidence)


def denoise(
    pretrained: PretrainedModel,
    adata: AnnData,
    *,
    organism: str | None = None,
    genes: int | Sequence[str] = 2000,
    depth_factor: float = 10.0,
    batch_size: int = 64,
) -> AnnData:
    """Return the cells on some genes, with the raw counts as X and the expected counts at a larger depth in `layers["denoised"]`.

    `layers["denoised_uninflated"]` has them as if no zero came from the zero inflation. obs is that of `adata`.

    Parameters
    ----------
    organism
        See `read_cells`, also for what is raised.
    genes
        How many of the most variable genes, or their ids as the model knows them.
    depth_factor
        The depth that is asked for, over the cell's own.

    Raises
    ------
    ValueError
        If a gene is not known.
    """
    own = read_cells(pretrained, adata, organism=organism)
    cells = own.cells
    columns = variable_genes(cells, genes) if isinstance(genes, int) else _columns(cells.var_names, genes)
    depth = np.asarray(sparse.csr_matrix(cells.X).sum(axis=1), dtype=np.float32).ravel()
    reader = Reader(pretrained, cells)
    expected, uninflated = denoise_cells(
        reader, depths=depth_factor * depth, selector=reader.fixed(cells.var_names[columns]), batch_size=batch_size
    )
    denoised = AnnData(
        sparse.csr_matrix(cells.X)[:, columns], obs=pd.DataFrame(adata.obs), var=pd.DataFrame(cells.var).iloc[columns]
    )
    denoised.layers[DENOISED], denoised.layers[UNINFLATED] = expected, uninflated
    _note(denoised, "denoise", pretrained, own, depth_factor=depth_factor)
    return denoised


def infer_networks(
    pretrained: PretrainedModel,
    adata: AnnData,
    *,
    organism: str | None = None,
    group_key: str | None = None,
    genes: int = 2000,
    cells: int = 1024,
    method: Method = "mean_attention",
    batch_size: int = 64,
) -> AnnData:
    """Read gene networks from the attention: `varp["GRN"]`, or `varp["GRN_<group>"]` for each group, regulators as rows.

    `scprint2.tasks.layout.read_networks` takes them out one by one, as GRnnData.

    Parameters
    ----------
    organism
        See `read_cells`, also for what is raised.
    group_key
        Column of obs; a network is made for each of its values that enough cells have. One network of all cells by default.
    genes, cells
        At most so many, the most variable genes and the deepest cells of a group.
    method
        `mean_queries_keys` (eq. 26), or `mean_attention` (eq. 27).

    Raises
    ------
    ValueError
        If there is no such column, no group has enough cells, or the model's attention has no gene-gene matrix.
    """
    own = read_cells(pretrained, adata, organism=organism)
    if group_key is not None and group_key not in adata.obs:
        raise ValueError(f"obs has no column {group_key!r} to group cells by; it has {sorted(adata.obs.columns)[:20]}.")
    if group_key is not None:
        own.cells.obs[TERM] = adata.obs[group_key].astype(str).to_numpy()
    settings = NetworkSettings(
        batch_size=batch_size, genes=genes, cells=cells, minimum_cells=LEAST_CELLS, regulator="query", trees=1,
        groups="none" if group_key is None else "cell_type", methods=(method,),
    )  # fmt: skip
    networks = predict_networks(pretrained, own.cells, settings=settings, seed=0)
    _note(networks, "grn", pretrained, own, group_key=group_key or ALL_CELLS, method=method)
    return networks


def gene_table(pretrained: PretrainedModel, organism: str) -> GeneTable:
    """Return the genes of a model as a table that names can be mapped to."""
    start, stop = pretrained.genes.span(organism)
    frame = pretrained.genes.frame.iloc[start:stop].reset_index(drop=True)
    missing = {name: "" for name in COLUMNS if name not in frame}
    return GeneTable(organism, frame.assign(**{**missing, "start": -1, "biotype": "protein_coding"}))


def _find_counts(adata: AnnData) -> tuple[str, sparse.csr_matrix, pd.DataFrame]:
    """Return where the first matrix of raw counts is, the counts, and the table of its genes."""
    found = []
    for place, matrix, var in _matrices(adata):
        counts = to_csr(matrix)
        problem = count_problem(counts) if counts.nnz else "is all zero"
        if problem is None:
            return place, counts, var
        found.append(f"{place} {problem}")
    raise ValueError(f"{GIVEN} has no raw counts: {'; '.join(found)}. {FIX_COUNTS}")


def _matrices(adata: AnnData) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    """Yield every matrix that may hold raw counts; others are not even read."""
    var = pd.DataFrame(adata.var)
    if adata.X is not None:
        yield "X", adata.X, var
    if adata.raw is not None:
        yield "raw.X", adata.raw.X, pd.DataFrame(adata.raw.var)
    if "counts" in adata.layers:
        yield "layers['counts']", adata.layers["counts"], var


def _map_to_organism(
    pretrained: PretrainedModel, adata: AnnData, var: pd.DataFrame, *, organism: str | None
) -> tuple[str, GeneMapping]:
    """Return the organism of the cells, and what their genes are in its table."""
    known = pretrained.genes.organisms
    stated = {_taxon(organism)} if organism else organisms_of(pd.DataFrame(adata.obs), _stated(adata.uns))
    if len(stated) > 1:
        raise ValueError(f"{GIVEN} holds cells of {sorted(stated)}; give the cells of one organism at a time.")
    if stated - set(known):
        names = [f"{taxon} ({ontology.label(taxon)})" for taxon in known]
        raise ValueError(f"the model does not know {stated.pop()}; it knows {', '.join(names)}.")
    if not stated:
        shares = {
            taxon: map_genes_of(var, gene_table(pretrained, taxon), minimum_mapped=0.0).mapped_share for taxon in known
        }
        stated = {max(shares, key=lambda taxon: shares[taxon])}
        LOG.info("no organism is given; most gene names are those of %s", ontology.label(min(stated)))
    taxon = stated.pop()
    return taxon, map_genes_of(var, gene_table(pretrained, taxon), minimum_mapped=MINIMUM_MAPPED)


def _taxon(organism: str) -> str:
    by_name = {name.lower(): taxon for taxon, name in ontology.ORGANISM_NAMES.items()}
    return by_name.get(organism.lower(), organism)


def _stated(uns: Mapping[str, Any]) -> dict[str, str]:
    return {ORGANISM: str(uns[ORGANISM])} if ORGANISM in uns else {}


def _trained_genes(pretrained: PretrainedModel) -> int:
    return pretrained.experiment.data.genes.max_genes


def _columns(known: pd.Index, genes: Sequence[str]) -> Int[np.ndarray, " gene"]:
    columns = known.get_indexer(pd.Index(genes))
    if (columns < 0).any():
        missing = [gene for gene, column in zip(genes, columns, strict=True) if column < 0]
        raise ValueError(
            f"{len(missing)} of {len(genes)} genes are not among those of {GIVEN} that the model knows, such as {missing[:3]}; "
            f"name them as the model does, such as {list(known[:3])}."
        )
    return columns


def _note(adata: AnnData, verb: str, pretrained: PretrainedModel, own: OwnCells, **settings: Any) -> None:
    """Write down what was done: JSON text in `uns["scprint2"][verb]`."""
    statuses = own.mapping.report["status"].value_counts()
    told = {
        "model": {name: pretrained.record.get(name) for name in ("corpus", "seed", "sha256")},
        "organism": own.organism,
        "counts": own.place,
        "genes": {str(name): int(number) for name, number in statuses.items()},
        "versions": installed_versions(),
        **settings,
    }
    before = adata.uns.get(PROVENANCE)
    adata.uns[PROVENANCE] = {**(before if isinstance(before, Mapping) else {}), verb: json.dumps(told)}
