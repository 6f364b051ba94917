import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from scprint2.data.neighbors import (
    AverageMetacells,
    MetacellsConfig,
    NeighborsConfig,
    NoMetacells,
    NoNeighbors,
    RandomNeighbors,
    SumMetacells,
    fill_neighbors,
)
from scprint2.data.shard import Rows

ROWS = Rows(np.array([0, 2, 3, 3]), np.array([1, 4, 4], np.uint16), np.array([2, 1, 5], np.uint8))


def test_numbers_of_neighbors_are_uniform_from_none_to_most():
    rng = np.random.default_rng(0)
    drawn = np.bincount([RandomNeighbors(kind="random", most=6).draw(rng) for _ in range(7000)])
    assert len(drawn) == 7
    assert (np.abs(drawn - 1000) < 150).all()
    assert NoNeighbors(kind="none").draw(rng) == NoNeighbors(kind="none").most == 0


def test_a_cell_with_few_neighbors_repeats_them_and_one_without_has_none():
    neighbor = np.array([[8, 7, 6], [5, 4, -1], [3, -1, -1], [-1, -1, -1]])
    assert fill_neighbors(neighbor, number=3).tolist() == [[0, 1, 2], [0, 1, 0], [0, 0, 0], [-1, -1, -1]]
    assert fill_neighbors(neighbor, number=0).shape == (4, 0)


def test_metacells_by_hand():
    average = AverageMetacells(kind="average", share=0.5).melt(ROWS, genes=6)
    assert average.gene.tolist() == [1, 4]
    np.testing.assert_allclose(average.count, [2 / 3, 2])
    total = SumMetacells(kind="sum", share=0.5).melt(ROWS, genes=6)
    assert total.gene.tolist() == [1, 4]
    assert total.count.tolist() == [2, 6]
    assert total.indptr.tolist() == [0, 2]


def test_the_share_of_metacells_is_kept():
    rng = np.random.default_rng(0)
    assert abs(AverageMetacells(kind="average", share=0.2).draw(rng, 10_000).mean() - 0.2) < 0.02
    assert not NoMetacells(kind="none").draw(rng, 10).any()


@pytest.mark.parametrize(
    ("union", "value"),
    [
        (NeighborsConfig, {"kind": "random", "most": 0}),
        (NeighborsConfig, {"kind": "none", "most": 6}),
        (NeighborsConfig, {"kind": "all"}),
        (MetacellsConfig, {"kind": "average", "share": 0}),
        (MetacellsConfig, {"kind": "average", "share": 1.1}),
        (MetacellsConfig, {"kind": "sum"}),
    ],
)
def test_impossible_settings_are_refused(union, value):
    with pytest.raises(ValidationError):
        TypeAdapter(union).validate_python(value)
