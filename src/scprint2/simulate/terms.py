"""Ontology terms of the simulated corpus: a true slice of the Cell Ontology, and the terms of every other class."""

from dataclasses import dataclass
from functools import cache

ORGANISMS = {
    "NCBITaxon:9606": "Homo sapiens",
    "NCBITaxon:10090": "Mus musculus",
    "NCBITaxon:10116": "Rattus norvegicus",
    "NCBITaxon:7955": "Danio rerio",
}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class CellType:
    """A term of the slice with its nearest ancestors in the slice (a closure over is-a, as CELLxGENE uses it)."""

    term: str
    parents: tuple[str, ...]


# Label -> term. Ancestry within the slice equals that of the Cell Ontology; a test compares it term by term.
CELL_TYPES = {
    # inner terms: they carry a part of the program of everything below them
    "hematopoietic cell": CellType("CL:0000988", ()),
    "leukocyte": CellType("CL:0000738", ("hematopoietic cell",)),
    "lymphocyte": CellType("CL:0000542", ("leukocyte",)),
    "T cell": CellType("CL:0000084", ("lymphocyte",)),
    "myeloid leukocyte": CellType("CL:0000766", ("leukocyte",)),
    "mononuclear phagocyte": CellType("CL:0000113", ("leukocyte",)),
    "monocyte": CellType("CL:0000576", ("mononuclear phagocyte", "myeloid leukocyte")),
    "epithelial cell": CellType("CL:0000066", ()),
    "secretory cell": CellType("CL:0000151", ()),
    "endo-epithelial cell": CellType("CL:0002076", ("epithelial cell",)),
    "enteroendocrine cell": CellType("CL:0000164", ("secretory cell", "epithelial cell")),
    "pancreatic endocrine cell": CellType("CL:0008024", ("enteroendocrine cell", "endo-epithelial cell")),
    "kidney epithelial cell": CellType("CL:0002518", ("epithelial cell",)),
    "connective tissue cell": CellType("CL:0002320", ()),
    "neural cell": CellType("CL:0002319", ()),
    "neuron": CellType("CL:0000540", ("neural cell",)),
    "glial cell": CellType("CL:0000125", ("neural cell",)),
    "macroglial cell": CellType("CL:0000126", ("glial cell",)),
    # cell types of the datasets: none is an ancestor of another
    "CD4-positive, alpha-beta T cell": CellType("CL:0000624", ("T cell",)),
    "CD8-positive, alpha-beta T cell": CellType("CL:0000625", ("T cell",)),
    "natural killer cell": CellType("CL:0000623", ("lymphocyte",)),
    "B cell": CellType("CL:0000236", ("lymphocyte",)),
    "plasma cell": CellType("CL:0000786", ("lymphocyte",)),
    "classical monocyte": CellType("CL:0000860", ("monocyte",)),
    "non-classical monocyte": CellType("CL:0000875", ("monocyte",)),
    "dendritic cell": CellType("CL:0000451", ("mononuclear phagocyte",)),
    "macrophage": CellType("CL:0000235", ("mononuclear phagocyte", "myeloid leukocyte")),
    "erythroid progenitor cell": CellType("CL:0000038", ("hematopoietic cell",)),
    "enterocyte": CellType("CL:0000584", ("endo-epithelial cell",)),
    "goblet cell": CellType("CL:0000160", ("epithelial cell", "secretory cell")),
    "pancreatic A cell": CellType("CL:0000171", ("pancreatic endocrine cell",)),
    "type B pancreatic cell": CellType("CL:0000169", ("pancreatic endocrine cell",)),
    "pancreatic acinar cell": CellType("CL:0002064", ("secretory cell", "endo-epithelial cell")),
    "pancreatic ductal cell": CellType("CL:0002079", ("endo-epithelial cell",)),
    "fibroblast": CellType("CL:0000057", ("connective tissue cell",)),
    "pericyte": CellType("CL:0000669", ("connective tissue cell",)),
    "endothelial cell": CellType("CL:0000115", ()),
    "GABAergic neuron": CellType("CL:0000617", ("secretory cell", "neuron")),
    "glutamatergic neuron": CellType("CL:0000679", ("secretory cell", "neuron")),
    "astrocyte": CellType("CL:0000127", ("macroglial cell",)),
    "oligodendrocyte": CellType("CL:0000128", ("macroglial cell",)),
    "oligodendrocyte precursor cell": CellType("CL:0002453", ("glial cell",)),
    "epithelial cell of proximal tubule": CellType("CL:0002306", ("kidney epithelial cell",)),
    "podocyte": CellType("CL:0000653", ("kidney epithelial cell",)),
}

# Terms of every other class with their labels as CELLxGENE prints them.
LABELS = {
    "UBERON:0000178": "blood",
    "UBERON:0002371": "bone marrow",
    "UBERON:0002108": "small intestine",
    "UBERON:0001155": "colon",
    "UBERON:0001264": "pancreas",
    "UBERON:0002048": "lung",
    "UBERON:0001225": "cortex of kidney",
    "UBERON:0000956": "cerebral cortex",
    "UBERON:0002421": "hippocampal formation",
    "CL:0000764": "erythroid lineage cell",  # the tissue of a cell line
    "PATO:0000461": "normal",
    "MONDO:0005101": "ulcerative colitis",
    "MONDO:0004975": "Alzheimer disease",
    "MONDO:0100096": "COVID-19",
    "MONDO:0005148": "type 2 diabetes mellitus",
    "MONDO:0011996": "chronic myeloid leukemia",
    "PATO:0000383": "female",
    "PATO:0000384": "male",
    "HANCESTRO:0590": "European American",
    "HANCESTRO:0849": "East Asian",
    "HANCESTRO:0568": "African American",
    "HsapDv:0000037": "fetal stage",
    "HsapDv:0000098": "4-year-old stage",
    "HsapDv:0000119": "25-year-old stage",
    "HsapDv:0000156": "62-year-old stage",
    "MmusDv:0000063": "3-month-old stage",
    "MmusDv:0000089": "18-month-old stage",
    "na": "na",
    UNKNOWN: UNKNOWN,
}
# Donors take these in turns; adults come most often.
ADULT, ELDER = "HsapDv:0000119", "HsapDv:0000156"
STAGES = {
    "NCBITaxon:9606": (ADULT, ELDER, ADULT, "HsapDv:0000098", ELDER, "HsapDv:0000037"),
    "NCBITaxon:10090": ("MmusDv:0000063", "MmusDv:0000089"),
    "NCBITaxon:10116": (UNKNOWN,),
    "NCBITaxon:7955": (UNKNOWN,),
}
ETHNICITIES = {
    "NCBITaxon:9606": (
        "HANCESTRO:0590",
        "HANCESTRO:0849",
        "HANCESTRO:0568",
        "HANCESTRO:0590 || HANCESTRO:0849",
        UNKNOWN,
    ),
    "NCBITaxon:10090": ("na",),
    "NCBITaxon:10116": ("na",),
    "NCBITaxon:7955": ("na",),
}
NORMAL = "PATO:0000461"


@dataclass(frozen=True)
class Assay:
    """A sequencing technology.

    Attributes
    ----------
    depth, depth_spread
        Median counts per cell over all genes of an organism, and the standard deviation of its natural log.
    dispersion
        Size parameter of the negative binomial: variance = mean + mean² / dispersion.
    dropout, dropout_mean
        Largest probability of a zero beyond the negative binomial, and the mean count at which half of it is left.
    length_bias
        Power of the gene's length that the counts follow (full-length technologies).
    suspension
        Whole cells or nuclei.
    """

    term: str
    depth: float
    depth_spread: float
    dispersion: float
    dropout: float
    dropout_mean: float
    length_bias: float = 0.0
    suspension: str = "cell"


# Label -> assay. Depths are those of about 900 well-expressed genes, not of a whole transcriptome.
ASSAYS = {
    "10x 3' v3": Assay("EFO:0009922", 1600.0, 0.40, 10.0, 0.10, 0.5),
    "10x 3' v2": Assay("EFO:0009899", 900.0, 0.35, 8.0, 0.15, 0.5),
    "10x 5' v1": Assay("EFO:0011025", 1200.0, 0.40, 8.0, 0.12, 0.5),
    "10x multiome": Assay("EFO:0030059", 1000.0, 0.45, 8.0, 0.15, 0.5, suspension="nucleus"),
    "inDrop": Assay("EFO:0008780", 900.0, 0.45, 6.0, 0.20, 0.5),
    "CEL-seq2": Assay("EFO:0010010", 1500.0, 0.45, 6.0, 0.15, 0.5),
    "Smart-seq2": Assay("EFO:0008931", 25000.0, 0.35, 2.0, 0.60, 6.0, length_bias=0.6),
    "MERFISH": Assay("EFO:0008992", 800.0, 0.35, 10.0, 0.05, 0.5, suspension="na"),
}


@cache
def ancestors(label: str) -> tuple[str, ...]:
    """Labels of a cell type and of all its ancestors in the slice, sorted."""
    found = {label}
    for parent in CELL_TYPES[label].parents:
        found.update(ancestors(parent))
    return tuple(sorted(found))
