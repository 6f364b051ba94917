"""What each simulated dataset holds: cells, tissues, donors, technologies, and its flaws."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from scprint2.simulate.terms import ASSAYS, CELL_TYPES, NORMAL

HUMAN, MOUSE, RAT, FISH = "NCBITaxon:9606", "NCBITaxon:10090", "NCBITaxon:10116", "NCBITaxon:7955"


@dataclass(frozen=True)
class Design:
    """The plan of one dataset.

    Attributes
    ----------
    tissues
        Tissue term -> cell type label -> relative number of cells.
    assays
        Labels of technologies; donor i is sequenced with the i-th, in turns.
    diseases
        Terms; in turns over donors, in another order than the assays.
    parent_labels
        Cell type label -> the less specific label that some donors' annotators gave it.
    depth
        Factor on the depth of the technology.
    role
        A training set, or a test set, which alone keeps the noise-free means.
    counts_in
        Where the integers are: X, or raw.X beside a log-normalized X, as CELLxGENE allows.
    flaws
        Whether duplicates, secondary cells and broken cells are left for quality control to find.
    special
        Control cells and knock-downs of single genes, or cells with a place in a section.
    truth
        Which network truth the dataset can be scored against.
    """

    title: str
    organism: str
    cells: int
    tissues: Mapping[str, Mapping[str, int | float]]
    donors: int
    assays: tuple[str, ...]
    diseases: tuple[str, ...] = (NORMAL,)
    parent_labels: Mapping[str, str] = field(default_factory=dict)
    unknown_share: float = 0.0
    depth: float = 1.0
    tissue_type: str = "tissue"
    role: Literal["train", "test"] = "test"
    counts_in: Literal["X", "raw"] = "X"
    flaws: Literal["none", "many"] = "none"
    special: Literal["none", "knock_downs", "section"] = "none"
    truth: Literal["none", "effects", "edges"] = "none"

    def __post_init__(self) -> None:
        """Refuse labels that no term stands behind."""
        named = {label for mix in self.tissues.values() for label in mix} | set(self.parent_labels.values())
        if unknown := named - set(CELL_TYPES):
            raise ValueError(f"{self.title}: no cell type {sorted(unknown)}; known: {sorted(CELL_TYPES)}")
        if unknown := set(self.assays) - set(ASSAYS):
            raise ValueError(f"{self.title}: no assay {sorted(unknown)}; known: {sorted(ASSAYS)}")


CD4, CD8 = "CD4-positive, alpha-beta T cell", "CD8-positive, alpha-beta T cell"
ALPHA, BETA = "pancreatic A cell", "type B pancreatic cell"
ACINAR, DUCTAL = "pancreatic acinar cell", "pancreatic ductal cell"
PRECURSOR = "oligodendrocyte precursor cell"
TUBULE = "epithelial cell of proximal tubule"

SCBASE = Design(
    title="Simulated reads of many studies of mouse, processed again",
    organism=MOUSE,
    cells=1200,
    tissues={
        "UBERON:0002108": {"enterocyte": 3, "goblet cell": 2, "B cell": 2, "fibroblast": 2, "macrophage": 2},
        "UBERON:0000956": {"glutamatergic neuron": 3, "astrocyte": 2, "oligodendrocyte": 2},
    },
    donors=4,
    assays=("10x 3' v3", "10x 3' v2", "10x 5' v1"),
    unknown_share=0.9,
    role="train",
    flaws="many",
)

DESIGNS: dict[str, Design] = {
    "sim_blood": Design(
        title="Simulated human blood and bone marrow",
        organism=HUMAN,
        cells=2200,
        tissues={
            "UBERON:0000178": {
                CD4: 4,
                CD8: 3,
                "natural killer cell": 3,
                "B cell": 3,
                "plasma cell": 1.5,
                "classical monocyte": 3,
                "non-classical monocyte": 1.5,
                "dendritic cell": 1.5,
            },
            "UBERON:0002371": {
                CD4: 1,
                "B cell": 1,
                "plasma cell": 1,
                "classical monocyte": 1,
                "erythroid progenitor cell": 2,
            },
        },
        donors=6,
        assays=("10x 3' v3", "10x 3' v2", "10x 5' v1"),
        diseases=(NORMAL, NORMAL, NORMAL, "MONDO:0100096"),
        parent_labels={CD4: "T cell", CD8: "T cell", "classical monocyte": "monocyte"},
        unknown_share=0.04,
        role="train",
        flaws="many",
    ),
    "sim_gut": Design(
        title="Simulated human intestine and pancreas",
        organism=HUMAN,
        cells=2400,
        tissues={
            "UBERON:0002108": {
                "enterocyte": 4,
                "goblet cell": 3,
                CD8: 1,
                "plasma cell": 1,
                "macrophage": 2,
                "fibroblast": 2,
                "endothelial cell": 2,
            },
            "UBERON:0001155": {"enterocyte": 3, "goblet cell": 3, CD4: 1, "macrophage": 1, "fibroblast": 2},
            "UBERON:0001264": {
                ALPHA: 3,
                BETA: 3,
                ACINAR: 3,
                DUCTAL: 3,
                "endothelial cell": 1,
                "fibroblast": 1,
                "macrophage": 1,
            },
        },
        donors=6,
        assays=("10x 3' v3", "10x 3' v2", "inDrop"),
        diseases=(NORMAL, NORMAL, NORMAL, NORMAL, "MONDO:0005101"),
        parent_labels={
            ALPHA: "pancreatic endocrine cell",
            BETA: "pancreatic endocrine cell",
            DUCTAL: "epithelial cell",
        },
        unknown_share=0.03,
        role="train",
        counts_in="raw",
    ),
    "sim_brain": Design(
        title="Simulated human cortex and hippocampus",
        organism=HUMAN,
        cells=2000,
        tissues={
            tissue: {
                "glutamatergic neuron": 4,
                "GABAergic neuron": 3,
                "astrocyte": 3,
                "oligodendrocyte": 3,
                PRECURSOR: 1.5,
                "endothelial cell": 1,
                "pericyte": 1,
            }
            for tissue in ("UBERON:0000956", "UBERON:0002421")
        },
        donors=5,
        assays=("10x multiome", "10x 3' v3"),
        diseases=(NORMAL, NORMAL, "MONDO:0004975"),
        parent_labels={"GABAergic neuron": "neuron", "astrocyte": "glial cell"},
        unknown_share=0.03,
        role="train",
    ),
    "sim_mouse_gut": Design(
        title="Simulated mouse intestine and pancreas",
        organism=MOUSE,
        cells=1700,
        tissues={
            "UBERON:0002108": {
                "enterocyte": 4,
                "goblet cell": 3,
                "B cell": 2,
                CD8: 2,
                "macrophage": 2,
                "fibroblast": 2,
                "endothelial cell": 2,
            },
            "UBERON:0001264": {ACINAR: 3, BETA: 3, DUCTAL: 2, "fibroblast": 1, "endothelial cell": 1},
        },
        donors=4,
        assays=("10x 3' v3", "10x 3' v2"),
        unknown_share=0.03,
        role="train",
    ),
    "sim_mouse_brain": Design(
        title="Simulated mouse cortex and hippocampus",
        organism=MOUSE,
        cells=1700,
        tissues={
            tissue: {
                "glutamatergic neuron": 4,
                "GABAergic neuron": 3,
                "astrocyte": 3,
                "oligodendrocyte": 3,
                PRECURSOR: 1,
                "endothelial cell": 1,
            }
            for tissue in ("UBERON:0000956", "UBERON:0002421")
        },
        donors=4,
        assays=("10x 3' v3", "Smart-seq2"),
        parent_labels={"glutamatergic neuron": "neuron"},
        unknown_share=0.03,
        role="train",
    ),
    "sim_atlas": Design(
        title="Simulated human atlas of uneven annotation",
        organism=HUMAN,
        cells=2400,
        tissues={
            "UBERON:0001264": {ALPHA: 2, ACINAR: 3, DUCTAL: 2, "fibroblast": 2, "endothelial cell": 1},
            "UBERON:0001155": {"enterocyte": 3, "goblet cell": 2, "B cell": 2, "plasma cell": 1, "macrophage": 1},
        },
        donors=8,
        assays=("inDrop", "10x 3' v2"),
        diseases=(NORMAL, "MONDO:0005101"),
        parent_labels={ALPHA: "pancreatic endocrine cell", DUCTAL: "epithelial cell"},
        unknown_share=0.35,
        depth=0.6,
        role="train",
        flaws="many",
    ),
    "sim_tahoe": Design(
        title="Simulated screen of drugs on cell lines",
        organism=HUMAN,
        cells=5000,
        tissues={"CL:0000764": {"erythroid progenitor cell": 1}, "UBERON:0001155": {"enterocyte": 1}},
        donors=2,
        assays=("10x 3' v3",),
        depth=0.35,
        tissue_type="cell culture",
        role="train",
    ),
    "sim_scbase": SCBASE,
    "sim_scbase_rat": replace(
        SCBASE,
        title="Simulated reads of many studies of rat, processed again",
        organism=RAT,
        cells=600,
        assays=("10x 3' v3", "10x 3' v2"),
    ),
    "sim_scbase_fish": replace(
        SCBASE,
        title="Simulated reads of many studies of zebrafish, processed again",
        organism=FISH,
        cells=600,
        assays=("10x 3' v3", "inDrop"),
    ),
    "sim_lung": Design(
        title="Simulated human lung",
        organism=HUMAN,
        cells=640,
        tissues={
            "UBERON:0002048": {
                CD4: 2,
                CD8: 2,
                "natural killer cell": 1.5,
                "classical monocyte": 2,
                "macrophage": 2,
                "endothelial cell": 1.5,
                "fibroblast": 1.5,
                "goblet cell": 1,
            }
        },
        donors=4,
        assays=("10x 3' v3", "10x 3' v2", "10x 5' v1"),
        unknown_share=0.02,
    ),
    "sim_pancreas": Design(
        title="Simulated human pancreas",
        organism=HUMAN,
        cells=640,
        tissues={
            "UBERON:0001264": {
                ALPHA: 3,
                BETA: 3,
                ACINAR: 2,
                DUCTAL: 2,
                "endothelial cell": 1,
                "fibroblast": 1,
                "macrophage": 0.7,
            }
        },
        donors=4,
        assays=("10x 3' v3", "inDrop", "CEL-seq2", "Smart-seq2"),
        diseases=(NORMAL, NORMAL, NORMAL, "MONDO:0005148"),
    ),
    "sim_denoise": Design(
        title="Simulated human blood, sequenced deeply",
        organism=HUMAN,
        cells=500,
        tissues={
            "UBERON:0000178": {
                CD4: 2,
                "natural killer cell": 1,
                "B cell": 1,
                "classical monocyte": 2,
                "dendritic cell": 1,
            }
        },
        donors=2,
        assays=("10x 3' v3",),
        depth=3.0,
    ),
    "sim_denoise_smart": Design(
        title="Simulated human cortex, full-length reads",
        organism=HUMAN,
        cells=400,
        tissues={
            "UBERON:0000956": {"glutamatergic neuron": 2, "GABAergic neuron": 1, "astrocyte": 1, "oligodendrocyte": 1}
        },
        donors=2,
        assays=("Smart-seq2",),
    ),
    "sim_k562": Design(
        title="Simulated control cells of a leukemia line",
        organism=HUMAN,
        cells=900,
        tissues={"CL:0000764": {"erythroid progenitor cell": 1}},
        donors=1,
        assays=("10x 3' v3",),
        diseases=("MONDO:0011996",),
        depth=2.0,
        tissue_type="cell culture",
        truth="effects",
    ),
    "sim_perturb": Design(
        title="Simulated knock-downs in a leukemia line",
        organism=HUMAN,
        cells=2000,
        tissues={"CL:0000764": {"erythroid progenitor cell": 1}},
        donors=1,
        assays=("10x 3' v3",),
        diseases=("MONDO:0011996",),
        depth=2.0,
        tissue_type="cell culture",
        special="knock_downs",
        truth="effects",
    ),
    "sim_kidney": Design(
        title="Simulated human kidney",
        organism=HUMAN,
        cells=1200,
        tissues={"UBERON:0001225": {TUBULE: 3, "podocyte": 2, "endothelial cell": 2, "fibroblast": 2, "macrophage": 2}},
        donors=3,
        assays=("10x 3' v3",),
        depth=1.5,
        counts_in="raw",
        truth="edges",
    ),
    "sim_spatial": Design(
        title="Simulated section of mouse cortex",
        organism=MOUSE,
        cells=900,
        tissues={
            "UBERON:0000956": {
                "glutamatergic neuron": 4,
                "GABAergic neuron": 2,
                "astrocyte": 2,
                "oligodendrocyte": 3,
                "endothelial cell": 1,
            }
        },
        donors=1,
        assays=("MERFISH",),
        special="section",
    ),
}


def find_design(name: str) -> Design:
    """Return the design of a dataset.

    Raises
    ------
    ValueError
        If no dataset has this name.
    """
    if name not in DESIGNS:
        raise ValueError(
            f"no simulated dataset {name!r}; known: {sorted(DESIGNS)}. Correct the registry's column `name`."
        )
    return DESIGNS[name]
