"""Compare simulated count matrices with real ones: docs/figures/simulation_vs_real.{png,pdf,csv}.

Example::

    python docs/scripts/simulation_vs_real.py --real "PBMC, 10x 3' v3=pbmc_1k_v3.h5ad" --real "retina, 10x multiome=retina.h5ad"
"""

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from scprint2.files import atomic_path
from scprint2.plots.simulation import REAL, SIMULATED, plot_simulation_vs_real
from scprint2.simulate import SimulationSettings, build_world, simulate_dataset
from scprint2.simulate.statistics import summarize_counts

TARGET = Path(__file__).parents[1] / "figures" / "simulation_vs_real"
# Single libraries, as the real files are: dataset and assay of the simulated corpus.
LIBRARIES = (("sim_blood", "10x 3' v3"), ("sim_brain", "10x multiome"))


def read_real(argument: str) -> tuple[str, sp.csr_matrix]:
    """Split NAME=PATH and read the counts in X."""
    name, _, path = argument.partition("=")
    return name, sp.csr_matrix(ad.read_h5ad(path).X)


def simulate_libraries() -> list[tuple[str, sp.csr_matrix]]:
    """One library of each of some simulated datasets; cells that are flawed on purpose are left out."""
    world = build_world(SimulationSettings(seed=0))
    found = []
    for name, assay in LIBRARIES:
        adata = simulate_dataset(world, name)
        library = adata.obs.loc[adata.obs["assay"] == assay, "library_id"].iloc[0]
        counts = sp.csr_matrix(adata.X)[(adata.obs["library_id"] == library).to_numpy()]
        found.append((f"{name}, {assay}", counts[np.asarray(counts.sum(1)).ravel() > 100]))
    return found


def main() -> None:
    """Read, summarize, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="append", required=True, metavar="NAME=PATH", help="real counts: an h5ad file")
    named = [(REAL, *read_real(argument)) for argument in parser.parse_args().real]
    named += [(SIMULATED, *library) for library in simulate_libraries()]
    cells, genes = [], []
    for kind, name, counts in named:
        summary = summarize_counts(counts)
        cells.append(summary.cells.assign(dataset=name, kind=kind))
        share = summary.genes["number"] / summary.genes["number"].sum()
        genes.append(summary.genes.assign(dataset=name, kind=kind, share=share))
    cells, genes = pd.concat(cells), pd.concat(genes)
    figure = plot_simulation_vs_real(cells, genes)
    for suffix, extra in (
        (".png", {"dpi": 130, "metadata": {"Software": None}}),
        (".pdf", {"metadata": {"CreationDate": None}}),
    ):
        with atomic_path(TARGET.with_suffix(suffix)) as path:
            figure.savefig(path, format=suffix[1:], **extra)
    with atomic_path(TARGET.with_suffix(".csv")) as path:
        pd.concat([cells.assign(panel="a"), genes.assign(panel="bcd")]).round(5).to_csv(path, index=False)


if __name__ == "__main__":
    main()
