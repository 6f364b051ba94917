"""What is kept of a dataset's preprocessing for its report: numbers of every cell read, and some kept cells as they lie."""

from pathlib import Path

import numpy as np
import pandas as pd

from scprint2.data.preprocess import SEED, ProcessedCells
from scprint2.data.vocabulary import CLASSES
from scprint2.files import atomic_path, write_json

DRAWN_CELLS = 2000  # of a dataset in the picture of its report
DRAWN_COMPONENTS = 50


def write_quality_record(cells: ProcessedCells, folder: Path) -> None:
    """Write what was done, what became of each gene name and label, and tables of the cells read and of some that were kept.

    The files are `qc.json`, `genes.tsv`, `labels.tsv`, `read.parquet` and `drawn.parquet`.
    """
    record = dict(cells.record)
    reports = {name: record.pop(name) for name in ("genes", "labels")}
    write_json(folder / "qc.json", record)
    for name, report in reports.items():
        with atomic_path(folder / f"{name}.tsv") as path:
            report.to_csv(path, sep="\t", index=False)
    for name, frame in {"read": _cells_read(cells), "drawn": _cells_drawn(cells)}.items():
        with atomic_path(folder / f"{name}.parquet") as path:
            frame.to_parquet(path, index=False)


def _cells_read(cells: ProcessedCells) -> pd.DataFrame:
    measures = cells.measures
    columns = {"genes": measures.genes, "depth": measures.depth, "mitochondrial": measures.mitochondrial}
    numbers = pd.DataFrame({name: values.astype(np.int32) for name, values in columns.items()})
    return numbers.assign(reason=pd.Categorical(cells.reason))


def _cells_drawn(cells: ProcessedCells) -> pd.DataFrame:
    """Principal components, cluster, batch and labels of at most `DRAWN_CELLS` cells."""
    kept = len(cells.obs)
    rows = np.sort(np.random.default_rng(SEED).permutation(kept)[:DRAWN_CELLS])
    components = cells.obsm["X_pca"][rows, :DRAWN_COMPONENTS]
    frame = pd.DataFrame({f"component_{number}": values for number, values in enumerate(components.T)})
    for name in ("cluster", "batch", *[f"{name}_ontology_term_id" for name in CLASSES]):
        frame[name] = cells.obs[name].astype(str).to_numpy()[rows]
    return frame
