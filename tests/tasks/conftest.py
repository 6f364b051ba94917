import pytest
import torch

from scprint2.data.vocabulary import LabelTable, LabelVocabulary
from scprint2.training.checkpoint import PretrainedModel
from tests.helpers import make_experiment, make_genes, make_labels
from tests.tasks.example import B_CELL, CD4, T_CELL, make_cells


@pytest.fixture
def cells():
    return make_cells()


@pytest.fixture(scope="session")
def pretrained():
    """An untrained model whose cell types are real terms."""
    return make_pretrained("base")


@pytest.fixture(scope="session")
def without_network():
    """The same, whose attention has no gene-gene matrix."""
    return make_pretrained("criss_cross")


def make_pretrained(variant):
    from scprint2.experiment import build

    experiment = make_experiment(variant)
    tables = list(make_labels().tables)
    names = {CD4: "CD4 T cell", B_CELL: "B cell", T_CELL: "T cell"}
    tables[0] = LabelTable("cell_type", leaves=(CD4, B_CELL), parents=(), members=(), names=names)
    genes, labels = make_genes(), LabelVocabulary(tuple(tables))
    embedding = torch.randn(len(genes), experiment.model.dim, generator=torch.Generator().manual_seed(1))
    model = build(experiment, genes=genes, labels=labels, gene_embedding=embedding, seed=0).model
    return PretrainedModel(model.eval(), genes, labels, experiment, {})
