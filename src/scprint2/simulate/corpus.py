"""Simulated datasets as files: h5ad that looks like CELLxGENE's, gene tables, embeddings and network truths."""

from collections.abc import Iterable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scprint2.files import atomic_path
from scprint2.simulate.cells import Cells, annotate, count_cells, draw_cells
from scprint2.simulate.designs import DESIGNS, Design, find_design
from scprint2.simulate.network import edge_table
from scprint2.simulate.settings import stream
from scprint2.simulate.terms import ASSAYS, CELL_TYPES, LABELS, ORGANISMS, UNKNOWN
from scprint2.simulate.world import World

SCHEMA = "5.2.0"
EFFECT_THRESHOLD = 0.25  # absolute log2 change from which a knock-down's effect is an edge of the truth
TRUTH_CELLS = 200  # control cells over which an effect is averaged


def simulate_dataset(world: World, name: str) -> ad.AnnData:
    """Simulate one dataset as CELLxGENE would publish it (schema 5): raw counts, ontology terms, labels.

    Test sets keep the noise-free means in `layers["true_mean"]`, training sets do not.

    Raises
    ------
    ValueError
        If no dataset has this name.
    """
    design = find_design(name)
    cells = draw_cells(world, name, design)
    rng = stream(world.settings.seed, "file", name)
    counted = count_cells(world, name, design, cells)
    genome = world.genomes[design.organism].frame
    measured = np.sort(rng.permutation(len(genome))[: round(0.98 * len(genome))])  # each dataset misses some genes
    order = measured[np.argsort(genome["gene_id"].to_numpy()[measured])]

    adata = ad.AnnData(
        X=sp.csr_matrix(counted.counts[:, order].astype(np.float32)),
        obs=describe_cells(rng, name, design, cells),
        var=describe_genes(genome.iloc[order], design),
        uns={
            "title": design.title,
            "schema_version": SCHEMA,
            "batch_condition": ["library_id"],
            "citation": f"Simulated by scprint2.simulate, seed {world.settings.seed}; no real donor is behind these cells.",
        },
    )
    if design.role == "test":
        adata.layers["true_mean"] = counted.mean[:, order]
    if design.special == "section":
        adata.obsm["spatial"] = cells.obs[["x", "y"]].to_numpy()
    if design.flaws == "many":
        adata = add_flaws(rng, adata)
    if design.counts_in == "raw":
        move_counts_to_raw(adata)
    return adata


def describe_cells(rng: np.random.Generator, name: str, design: Design, cells: Cells) -> pd.DataFrame:
    """Columns of CELLxGENE: a term and a label for every class."""
    truth, labels = cells.obs, annotate(rng, design, cells.obs)
    letters = np.array(list("ACGT"))[rng.integers(4, size=(len(truth), 16))]
    types = {label: kind.term for label, kind in CELL_TYPES.items()} | {UNKNOWN: UNKNOWN}
    terms = {
        "assay": [ASSAYS[label].term for label in truth["assay"]],
        "cell_type": [types[label] for label in labels],
        "development_stage": truth["stage"].tolist(),
        "disease": truth["disease"].tolist(),
        "organism": [design.organism] * len(truth),
        "self_reported_ethnicity": truth["ethnicity"].tolist(),
        "sex": truth["sex"].tolist(),
        "tissue": truth["tissue"].tolist(),
    }
    twins = {
        name: [" || ".join(LABELS[part] for part in term.split(" || ")) for term in column]
        for name, column in terms.items()
        if name not in ("assay", "cell_type", "organism")
    }
    twins |= {"assay": truth["assay"].tolist(), "cell_type": list(labels)}
    twins |= {"organism": [ORGANISMS[design.organism]] * len(truth)}
    obs = pd.DataFrame(
        {f"{name}_ontology_term_id": column for name, column in terms.items()}
        | twins
        | {
            "donor_id": truth["donor"].tolist(),
            "library_id": truth["library"].tolist(),
            "suspension_type": [ASSAYS[label].suspension for label in truth["assay"]],
            "tissue_type": design.tissue_type,
        },
        index=pd.Index([f"{''.join(word)}-{number}" for number, word in enumerate(letters)], dtype=object),
    )
    if "perturbation" in truth:
        obs["perturbation"] = truth["perturbation"].tolist()
    obs = obs.astype("category")
    obs["is_primary_data"] = True
    return obs


def describe_genes(frame: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Columns of CELLxGENE, indexed by gene id."""
    return pd.DataFrame(
        {
            "feature_is_filtered": False,
            "feature_name": frame["symbol"].tolist(),
            "feature_reference": pd.Categorical([design.organism] * len(frame)),
            "feature_biotype": pd.Categorical(["gene"] * len(frame)),
            "feature_length": frame["length"].tolist(),
            "feature_type": pd.Categorical(frame["biotype"]),
        },
        index=pd.Index(frame["gene_id"].tolist(), dtype=object),
    )


def add_flaws(rng: np.random.Generator, adata: ad.AnnData) -> ad.AnnData:
    """Leave work for quality control: secondary cells, broken cells, and copies of cells under new names."""
    chosen = rng.permutation(adata.n_obs)
    share = max(1, adata.n_obs // 100)
    secondary, broken, copied = chosen[:share], chosen[share : 2 * share], chosen[2 * share : 3 * share]
    adata.obs["is_primary_data"] = ~np.isin(np.arange(adata.n_obs), secondary)
    counts = sp.csr_matrix(adata.X).toarray()
    counts[broken] = rng.binomial(counts[broken].astype(np.int64), 0.005)  # almost nothing was captured
    adata.X = sp.csr_matrix(counts)
    copies = adata[np.sort(copied)].copy()
    copies.obs_names = [f"{name}-copy" for name in copies.obs_names]
    return ad.concat([adata, copies], merge="same", uns_merge="same")


def move_counts_to_raw(adata: ad.AnnData) -> None:
    """Put log-normalized values (counts per 10,000) into X and the counts into raw.X."""
    adata.raw = adata.copy()
    counts = sp.csr_matrix(adata.X)
    scale = 1e4 / np.maximum(np.asarray(counts.sum(1)).ravel(), 1)
    normalized = sp.csr_matrix(counts.multiply(scale[:, None]), dtype=np.float32)
    normalized.data = np.log1p(normalized.data)
    adata.X = normalized


def network_truth(world: World, name: str) -> pd.DataFrame:
    """Edges of the truth of a dataset: regulator, target, weight.

    Either the direct edges of the organism's network, or, for cells of a knock-down screen, the direct and downstream effects
    of every knock-down: the mean log2 change without noise, where it is at least 0.25.

    Raises
    ------
    ValueError
        If the dataset has no network truth.
    """
    design = find_design(name)
    genome, network = world.genomes[design.organism], world.networks[design.organism]
    ids = genome.frame["gene_id"].to_numpy()
    if design.truth == "edges":
        return network.edges(ids)
    if design.truth == "effects":
        external = draw_cells(world, name, design).external[:TRUTH_CELLS]
        effects = network.knock_down_effects(external, genome.level)
        return edge_table(np.where(np.abs(effects) >= EFFECT_THRESHOLD, effects, 0), ids)
    known = sorted(other for other, plan in DESIGNS.items() if plan.truth != "none")
    raise ValueError(f"dataset {name!r} has no network truth; those that have: {known}")


def write_corpus(world: World, folder: str | Path, *, names: Iterable[str] = tuple(DESIGNS)) -> None:
    """Write datasets, gene tables, gene embeddings and network truths under a folder.

    Layout: `datasets/<name>.h5ad`, `genes/<organism>.tsv.gz`, `gene_embedding.parquet`, `truth/<name>.tsv.gz`.
    """
    folder = Path(folder)
    for organism, genome in world.genomes.items():
        write_table(genome.table(), folder / "genes" / f"{organism.replace(':', '_')}.tsv.gz")
    with atomic_path(folder / "gene_embedding.parquet") as path:
        world.embedding.to_parquet(path)
    for name in names:
        adata = simulate_dataset(world, name)
        with atomic_path(folder / "datasets" / f"{name}.h5ad") as path:
            adata.write_h5ad(path, compression="gzip", compression_opts=1)
        if find_design(name).truth != "none":
            write_table(network_truth(world, name), folder / "truth" / f"{name}.tsv.gz")


def write_table(frame: pd.DataFrame, target: Path) -> None:
    """Write a gzipped TSV without a time stamp, so that the bytes depend on the rows alone."""
    with atomic_path(target) as path:
        frame.to_csv(path, sep="\t", index=False, compression={"method": "gzip", "mtime": 0})
