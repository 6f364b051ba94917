"""B10: time and memory of preprocessing one large dataset, from an h5ad file to a shard, and the share of true neighbors found.

Simulated cells: 20,000 genes, about 1,000 of them expressed in each cell; 40 types, and cells between two of them.
`python -m benchmarks.preprocessing --cells 1000000 --folder DIR` measures more than the 100,000 cells of `python -m benchmarks`.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem

from benchmarks.common import describe_machine
from scprint2.data.genes import COLUMNS, GeneTable
from scprint2.data.preprocess import PreprocessingConfig, processed
from scprint2.data.registry import Dataset
from scprint2.data.shard_writer import write_processed_shard

CELLS, GENES, TYPES, BLOCK, CHECKED = 100_000, 20_000, 40, 4_000, 500
ORGANISM = "NCBITaxon:9606"
SETTINGS = PreprocessingConfig(
    minimum_genes=200, principal_components=200, neighbors=6, cluster_neighbors=15, resolution=1.0,
    merge_correlation=0.94, deviations=5,
)  # fmt: skip


def gene_table() -> GeneTable:
    """Return a table whose genes are as numerous as a mammal's."""
    ids = [f"ENSG{number:011d}" for number in range(GENES)]
    frame = pd.DataFrame(dict.fromkeys(COLUMNS, ""), index=range(GENES))
    frame = frame.assign(gene_id=ids, symbol=ids, biotype="protein_coding", chromosome="1", start=range(GENES))
    return GeneTable(ORGANISM, frame.assign(location=0, family=ids, is_tf=False))


def write_cells(path: Path, cells: int) -> int:
    """Write an h5ad file as CELLxGENE publishes it, block by block; return the number of stored counts."""
    rng = np.random.default_rng(0)
    base = rng.lognormal(0, 2, GENES)
    profiles = base * rng.lognormal(0, 1, (TYPES, GENES))
    cumulative = np.cumsum(profiles / profiles.sum(axis=1, keepdims=True), axis=1)
    sizes, kinds = [], rng.integers(TYPES, size=cells)
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (cells, GENES)})
        options = {"maxshape": (None,), "chunks": (1 << 18,), "compression": "gzip", "compression_opts": 1}
        data = group.create_dataset("data", (0,), np.float32, **options)
        indices = group.create_dataset("indices", (0,), np.int32, **options)
        for start in range(0, cells, BLOCK):
            block = draw_block(rng, cumulative, kinds[start : start + BLOCK])
            for stored, values in ((data, block[1]), (indices, block[0])):
                stored.resize(len(stored) + len(values), axis=0)
                stored[-len(values) :] = values
            sizes.append(block[2])
        group["indptr"] = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        obs = pd.DataFrame(index=np.arange(cells).astype(str))
        obs["cell_type_ontology_term_id"] = pd.Categorical([f"CL:{9000000 + kind}" for kind in kinds])
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=gene_table().frame["gene_id"]))
        return len(data)


def draw_block(rng: np.random.Generator, cumulative: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return genes, counts and number of genes of some cells, each drawn from the profiles of its type and of a second one."""
    depth = np.clip(rng.lognormal(np.log(2000), 0.4, len(kinds)), 500, 20_000).astype(int)
    second = np.repeat(rng.integers(TYPES, size=len(kinds)), depth)
    cell = np.repeat(np.arange(len(kinds)), depth)
    mixed = rng.random(len(cell)) < np.repeat(rng.beta(0.5, 3, len(kinds)), depth)
    kind = np.where(mixed, second, kinds[cell])
    place, gene = rng.random(len(cell)), np.empty(len(cell), np.int64)
    for number in range(TYPES):
        here = kind == number
        gene[here] = np.searchsorted(cumulative[number], place[here])
    key, count = np.unique(cell * GENES + np.minimum(gene, GENES - 1), return_counts=True)
    return key % GENES, count, np.bincount(key // GENES, minlength=len(kinds))


def found_share(points: np.ndarray, neighbor: np.ndarray) -> float:
    """Return the share of the true nearest neighbors of some cells that were found."""
    some = np.random.default_rng(0).choice(len(points), min(CHECKED, len(points)), replace=False)
    norms = (points**2).sum(axis=1)
    distance = norms[None] - 2 * points[some] @ points.T
    distance[np.arange(len(some)), some] = np.inf
    true = np.argpartition(distance, neighbor.shape[1], axis=1)[:, : neighbor.shape[1]]
    return float(
        np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(neighbor[some].tolist(), true.tolist(), strict=True)])
    )


def measure(cells: int = CELLS, folder: Path | None = None) -> dict:
    """Write a file, preprocess it, write the shard."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path, table = Path(temporary) / "cells.h5ad", gene_table()
        entries = write_cells(path, cells)
        before, start = _peak(), time.perf_counter()
        dataset = Dataset("large", ORGANISM, label_key="")
        with processed(dataset, path, table, settings=SETTINGS, scratch=temporary) as done:
            preprocessed, peak = time.perf_counter() - start, _peak()
            share = found_share(done.obsm["X_pca"], done.obsm["neighbor"])
            clusters, kept = int(done.obs["cluster"].nunique()), len(done.obs)
            start = time.perf_counter()
            write_processed_shard(
                done, Path(temporary) / "shard", gene_ids=table.frame["gene_id"].tolist(), validation_share=0.02
            )
        size = sum(file.stat().st_size for file in (Path(temporary) / "shard").iterdir())
        return {
            "cells": cells, "stored_counts": entries, "file_bytes": path.stat().st_size, "cells_kept": kept,
            "clusters": clusters, "seconds_preprocess": round(preprocessed, 1),
            "seconds_shard": round(time.perf_counter() - start, 1), "shard_bytes": size,
            "gb_before": before, "gb_peak": peak, "gb_peak_checking_process": _peak(resource.RUSAGE_CHILDREN),
            "true_neighbors_found": round(share, 4),
        }  # fmt: skip


def _peak(who: int = resource.RUSAGE_SELF) -> float:
    return round(resource.getrusage(who).ru_maxrss / 1e6, 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--folder", type=Path, help="for files of some GB; the system's temporary folder unless given")
    options = parser.parse_args()
    print(json.dumps({"machine": describe_machine()} | measure(options.cells, options.folder), indent=1))
