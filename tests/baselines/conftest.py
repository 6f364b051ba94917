import pytest

from scprint2.baselines.training_cells import TrainingCells
from tests.helpers import make_genes, make_labels
from tests.tasks.example import make_cells


@pytest.fixture
def cells():
    return make_cells(60, seed=0, unknown=4)


@pytest.fixture
def train(tmp_path):
    """Two datasets of the same types as the test cells, but other cells; the second one is larger and half unlabeled."""
    paths = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    make_cells(80, genes=45, seed=1).write_h5ad(paths[0])
    make_cells(100, seed=2, unknown=50).write_h5ad(paths[1])
    return TrainingCells(make_genes(), make_labels(), paths)
