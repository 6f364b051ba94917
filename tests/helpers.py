"""Small vocabularies, batches and experiments that many tests share."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from scprint2.config.overlay import list_variants, resolve
from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import GeneVocabulary, LabelTable, LabelVocabulary
from scprint2.experiment import Experiment, TrainingModel, build
from scprint2.model.context import BuildContext

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
VARIANTS = list(list_variants(CONFIG))
HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"

# A vocabulary as large as the paper's: human and mouse protein-coding genes; as many labels as the corpus of the base row is
# thought to have (the paper gives 4,764 labels for its nine classes and 16 organisms together).
PAPER_GENES = 44_900
PAPER_LABELS = {
    **{"cell_type": 700, "tissue": 300, "disease": 120, "assay": 30, "ethnicity": 30, "sex": 2, "organism": 2},
    **{"age_group": 12, "cell_culture": 3},
}


def make_genes(*, human: int = 60, mouse: int = 40) -> GeneVocabulary:
    """Two organisms whose first genes are orthologs."""
    frames = []
    for organism, count, prefix in ((HUMAN, human, "ENSG"), (MOUSE, mouse, "ENSMUSG")):
        index = np.arange(count)
        frames.append(
            pd.DataFrame(
                {
                    "organism": organism,
                    "gene_id": [f"{prefix}{i:05d}" for i in index],
                    "symbol": [f"G{i}" for i in index],
                    "location": index // 2,
                    "family": [f"F{i}" for i in index],
                    "is_tf": index % 10 == 0,
                }
            )
        )
    return GeneVocabulary(pd.concat(frames, ignore_index=True))


def make_labels() -> LabelVocabulary:
    """Seven classes; cell types have four leaves under two parents and a root."""
    cell_type = LabelTable(
        name="cell_type",
        leaves=("CL:1", "CL:2", "CL:3", "CL:4"),
        parents=("CL:12", "CL:34", "CL:0"),
        members=((0, 1), (2, 3), (0, 1, 2, 3)),
        names={},
    )
    leaves = {
        name: tuple(f"{name}:{i}" for i in range(count))
        for name, count in (("tissue", 3), ("disease", 2), ("assay", 3), ("ethnicity", 2), ("sex", 2), ("organism", 2))
    }
    leaves["assay"] = ("EFO:0009899", "EFO:0009922", "EFO:0008931")  # two of 10x 3', and Smart-seq2
    flat = [LabelTable(name=name, leaves=terms, parents=(), members=(), names={}) for name, terms in leaves.items()]
    return LabelVocabulary((cell_type, *flat))


def make_batch(
    genes: GeneVocabulary,
    labels: LabelVocabulary,
    *,
    cells: int = 5,
    context: int = 24,
    neighbors: int = 0,
    seed: int = 0,
) -> CellBatch:
    """Random human cells with random genes, counts and labels, and random neighbors."""
    rng = torch.Generator().manual_seed(seed)
    start, stop = genes.span(HUMAN)
    index = torch.stack([start + torch.randperm(stop - start, generator=rng)[:context] for _ in range(cells)])
    counts = torch.poisson(3 * torch.rand(cells, context, generator=rng), generator=rng)
    codes = [
        torch.randint(-1, len(table.leaves) + len(table.parents), (cells,), generator=rng) for table in labels.tables
    ]
    return CellBatch(
        genes=index,
        counts=counts,
        neighbor_counts=torch.poisson(torch.ones(cells, neighbors, context), generator=rng),
        neighbor_distances=torch.rand(cells, neighbors, generator=rng),
        depth=counts.sum(1) + 10,
        labels=torch.stack(codes, dim=1),
    )


def make_experiment(variant: str = "base", *, scale: str = "mini", **changes: dict) -> Experiment:
    """A variant's experiment; `changes` replaces whole sections' values, such as training={"epochs": 1}."""
    tree = resolve(CONFIG, scale=scale, variant=variant)
    for section, values in changes.items():
        tree[section] = {**tree[section], **values}
    return Experiment.model_validate(tree)


def make_model(variant: str = "base", *, seed: int = 0, scale: str = "mini", **changes: dict) -> TrainingModel:
    """A small model of a variant over `make_genes` and `make_labels`."""
    return build_small(make_experiment(variant, scale=scale, **changes), seed=seed)


def build_small(experiment: Experiment, *, seed: int = 0, labels: LabelVocabulary | None = None) -> TrainingModel:
    """Build an experiment's model over `make_genes` and, unless others are given, `make_labels`."""
    genes = make_genes()
    embedding = torch.randn(len(genes), experiment.model.dim, generator=torch.Generator().manual_seed(1))
    return build(experiment, genes=genes, labels=labels or make_labels(), gene_embedding=embedding, seed=seed)


def make_paper_size_model(variant: str) -> tuple[TrainingModel, GeneVocabulary, LabelVocabulary]:
    """A row's model at the size of the paper over vocabularies of that size."""
    experiment = make_experiment(variant, scale="paper")
    frame = pd.DataFrame(
        {
            "organism": HUMAN,
            "gene_id": [f"G{i}" for i in range(PAPER_GENES)],
            "symbol": "",
            "location": np.arange(PAPER_GENES) // 2,
            "family": "",
            "is_tf": False,
        }
    )
    leaves = {name: tuple(f"{name}:{i}" for i in range(PAPER_LABELS[name])) for name in experiment.data.classes}
    tables = [LabelTable(name, terms, parents=(), members=(), names={}) for name, terms in leaves.items()]
    genes, labels = GeneVocabulary(frame), LabelVocabulary(tuple(tables))
    embedding = torch.zeros(PAPER_GENES, experiment.model.dim)
    return build(experiment, genes=genes, labels=labels, gene_embedding=embedding, seed=0), genes, labels


def count_parameters(model: TrainingModel) -> dict[str, int]:
    """Weights of a model, and how many of them are trained."""
    weights = list(model.parameters())
    return {
        "all": sum(weight.numel() for weight in weights),
        "trained": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def first_losses(variant: str) -> list[float]:
    """The losses of the first three steps of a row on a small batch: what the golden file keeps."""
    model, data = make_model(variant), make_experiment(variant).data
    batch = data.genes.pad(make_batch(make_genes(), make_labels(), neighbors=data.neighbors.most))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for step in range(3):
        total, _ = model(batch, step=step, seed=0)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return losses


def make_context(*, dim: int = 16) -> BuildContext:
    """What a component needs to know of `make_genes` and `make_labels`, for tokens of a given width."""
    genes = make_genes()
    return BuildContext(dim=dim, genes=genes, labels=make_labels(), gene_embedding=torch.zeros(len(genes), dim))
