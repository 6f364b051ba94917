"""B1: cells per second that the loader reads and makes batches of, against densifying and sorting cell by cell and other loaders.

Simulated human-like cells: 20,000 genes, about 2,500 of them expressed; 64 cells a batch, 2,200 genes in context, one thread.
"""

import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse
import torch

from benchmarks.common import interleave
from benchmarks.loader_peers import find_peers
from scprint2.data.corpus import Corpus
from scprint2.data.loader import BatchLoader, DataConfig
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES, GeneVocabulary, LabelTable, LabelVocabulary

CELLS, GENES, CONTEXT, BATCH, NEIGHBORS = 6000, 20_000, 2200, 64, 6
ORGANISM = "NCBITaxon:9606"
TARGETS = {"collated_6_neighbors": 4000, "ragged_6_neighbors": 10_000, "ragged_0_neighbors": 45_000}  # cells per second


def simulate_cells(cells: int = CELLS) -> anndata.AnnData:
    """Return processed cells with the sparsity of 10x data, one count in a thousand above what a byte holds."""
    rng = np.random.default_rng(0)
    expressed = np.clip(rng.lognormal(np.log(2200), 0.5, cells), 300, 8000).astype(int)
    genes = np.concatenate([np.sort(rng.choice(GENES, number, replace=False)) for number in expressed])
    counts = 1 + rng.negative_binomial(1, 0.3, size=len(genes)).astype(np.int32)
    counts[rng.random(len(counts)) < 0.001] = 300
    indptr = np.concatenate([[0], np.cumsum(expressed)])
    obs = pd.DataFrame({f"{name}_ontology_term_id": "unknown" for name in CLASSES}, index=np.arange(cells).astype(str))
    obs["cell_type_ontology_term_id"] = rng.choice([f"CL:{number:07d}" for number in range(30)], size=cells)
    obs["cluster"] = "0"
    obs["cell_type_cluster"] = obs["cell_type_ontology_term_id"] + "|0"
    adata = anndata.AnnData(scipy.sparse.csr_matrix((counts, genes, indptr), shape=(cells, GENES)), obs=obs)
    adata.var_names = [f"ENSG{number:011d}" for number in range(GENES)]
    adata.obsm["neighbor"] = rng.integers(cells, size=(cells, NEIGHBORS)).astype(np.int32)
    adata.obsm["neighbor_distance"] = np.sort(rng.uniform(1, 9, (cells, NEIGHBORS)), axis=1).astype(np.float32)
    adata.uns["scprint2"] = {"dataset": "simulated", "organism": ORGANISM}
    return adata


def open_corpus(adata: anndata.AnnData, folder: Path) -> Corpus:
    """Write the cells as a shard and put a corpus around it."""
    write_shard(adata, folder / "shard", gene_ids=list(adata.var_names), validation_share=0.02)
    shard = Shard.open(folder / "shard")
    names, place = adata.var_names, np.arange(adata.n_vars)
    genes = pd.DataFrame({"organism": ORGANISM, "gene_id": names, "symbol": names, "family": names})
    genes["location"], genes["is_tf"] = place, place % 15 == 0
    tables = [LabelTable(name, tuple(shard.terms[name]), (), (), {}) for name in CLASSES]
    return Corpus("simulated", (shard,), GeneVocabulary(genes), LabelVocabulary(tuple(tables)), 0.02, {})


def make_loader(corpus: Corpus, *, neighbors: int, device: str = "cpu") -> BatchLoader:
    """Return a loader whose every batch has the same number of neighbors."""
    config = {
        "corpus": "simulated",
        "classes": ["cell_type", "tissue", "disease", "assay", "ethnicity", "sex", "organism"],
        "genes": {"kind": "random_expressed", "max_genes": CONTEXT},
        "sampling": {
            "kind": "grouped",
            "groups": ["cell_type_cluster", "disease", "assay", "sex", "organism"],
            "saturation": {"kind": "constant", "value": 200},
            "depth": {"kind": "sigmoid", "midpoint": 2000, "steepness": 0.003, "scale": 1000},
        },
        "neighbors": {"kind": "random", "most": neighbors} if neighbors else {"kind": "none"},
        "metacells": {"kind": "none"},
    }
    loader = BatchLoader(corpus, DataConfig.model_validate(config), batch_size=BATCH, seed=0, device=device)
    loader._number_of_neighbors = lambda step: neighbors
    return loader


class Peer:
    """The usual pattern: each cell, and each neighbor, made dense and its genes sorted by a random key; then stacked."""

    def __init__(self, loader: BatchLoader):
        self.loader = loader
        self.matrix = loader.corpus.shards[0].counts()
        self.rng = np.random.default_rng(0)

    def batch(self, step: int, *, neighbors: int) -> dict[str, torch.Tensor]:
        """Make a batch of the cells that our loader draws at this step."""
        shard = self.loader.corpus.shards[0]
        genes, counts, around = [], [], []
        for cell in self.loader.sampler.draw(step, BATCH):
            dense = self.matrix[cell].toarray()[0]
            chosen = np.argsort(-(self.rng.random(GENES) + (dense > 0)))[:CONTEXT]
            genes.append(chosen)
            counts.append(dense[chosen])
            known = shard.neighbor[cell][shard.neighbor[cell] >= 0]
            around.append([self.matrix[row].toarray()[0][chosen] for row in np.resize(known, neighbors)])
        values = {"genes": genes, "counts": counts, "neighbor_counts": around}
        return {name: torch.from_numpy(np.array(value)) for name, value in values.items()}


def check_equal(loader: BatchLoader, peer: Peer, *, neighbors: int) -> bool:
    """Tell whether a batch holds the counts of the dense matrix, and as many expressed genes as the peer's."""
    batch, other = loader.batch(1), peer.batch(1, neighbors=neighbors)
    cells, shard = loader.sampler.draw(1, BATCH), loader.corpus.shards[0]
    dense = peer.matrix[cells].toarray()
    same = np.array_equal(batch.counts.numpy(), np.take_along_axis(dense, batch.genes.numpy(), axis=1))
    for place, cell in enumerate(cells):
        known = shard.neighbor[cell][shard.neighbor[cell] >= 0]
        around = peer.matrix[np.resize(known, neighbors)].toarray()[:, batch.genes[place].numpy()]
        same &= np.array_equal(batch.neighbor_counts[place].numpy(), around)
    expressed = [(counts > 0).sum(1).tolist() for counts in (batch.counts, other["counts"])]
    return bool(same and expressed[0] == expressed[1])


def measure() -> dict:
    """Return cells per second of ours and of the peer, with and without neighbors."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        adata = simulate_cells()
        corpus = open_corpus(adata, Path(folder))
        loaders = {number: make_loader(corpus, neighbors=number) for number in (0, NEIGHBORS)}
        peer = Peer(loaders[0])
        candidates, repeats = {}, {}
        for number, loader in loaders.items():
            candidates[f"ragged_{number}_neighbors"] = loader.read
            candidates[f"collated_{number}_neighbors"] = loader.batch
            candidates[f"peer_{number}_neighbors"] = lambda step, number=number: peer.batch(step, neighbors=number)
            repeats |= {f"ragged_{number}_neighbors": 50, f"collated_{number}_neighbors": 20}
            repeats[f"peer_{number}_neighbors"] = 1
        source = corpus.shards[0].source
        others, missing = find_peers(
            adata, Path(folder), draw=lambda step: source[loaders[0].sampler.draw(step, BATCH)]
        )
        for name, other in others.items():
            candidates[f"{name}_rows"] = other.batch
            repeats[f"{name}_rows"] = CELLS // BATCH
        timed = interleave(candidates, repeats=repeats, cpu_clock=time.process_time)
        equal = {number: check_equal(loader, peer, neighbors=number) for number, loader in loaders.items()}
        for row in timed.values():
            row["cells_per_second"] = BATCH / row["seconds"]
            row["cells_per_cpu_second"] = BATCH / row["cpu_seconds"]
        ratios = {
            f"{number}_neighbors": {
                "times_faster_than_peer": timed[f"peer_{number}_neighbors"]["cpu_seconds"]
                / timed[f"collated_{number}_neighbors"]["cpu_seconds"],
                "equal": equal[number],
            }
            for number in loaders
        }
        ratios |= {
            name: {
                "ragged_times_faster": timed[f"{name}_rows"]["cpu_seconds"]
                / timed["ragged_0_neighbors"]["cpu_seconds"],
                "equal": other.check(),
            }
            for name, other in others.items()
        }
    load = {
        "cells": CELLS,
        "genes": GENES,
        "context": CONTEXT,
        "batch": BATCH,
        "expressed_mean": peer.matrix.nnz / CELLS,
    }
    return {
        "benchmark": "loader",
        "simulated": load,
        "results": timed,
        "ratios": ratios,
        "not_installed": missing,
        "targets": TARGETS,
    }
