import pytest

from scprint2.baselines.training_cells import TrainingCells
from tests.helpers import make_genes, make_labels
from tests.tasks.example import make_cells, write_cells


@pytest.fixture
def cells():
    return make_cells(60, seed=0, unknown=4)


@pytest.fixture
def train(tmp_path):
    """Two datasets of the same types as the test cells, but other cells; the second one is larger and half unlabeled."""
    cells = [make_cells(80, genes=45, seed=1), make_cells(100, seed=2, unknown=50)]
    shards = [write_cells(part, tmp_path / f"shard_{number}") for number, part in enumerate(cells)]
    return TrainingCells(make_genes(), make_labels(), tuple(shards))
