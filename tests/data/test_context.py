import numpy as np
import pytest
import torch
from scipy import stats

from scprint2.data.context import (
    EXPRESSED,
    MEASURED,
    OUTSIDE,
    UNMEASURED,
    Candidates,
    FixedGenes,
    GeneSpace,
    RandomExpressedGenes,
    TopExpressedGenes,
)

from .builders import HUMAN, MOUSE, vocabulary

WIDTH = 40


def space(measured_human, *, mouse=30):
    return GeneSpace.build(
        vocabulary({HUMAN: WIDTH, MOUSE: mouse}), [(HUMAN, np.array(measured_human)), (MOUSE, np.arange(mouse))]
    )


def candidates(counts, genes, profile, *, first=0, total=None):
    counts = torch.as_tensor(counts, dtype=torch.float32)
    expressed = [np.flatnonzero(row) for row in counts.numpy()]
    longest = max(len(row) for row in expressed)
    padded = np.full((len(counts), longest), 2 * WIDTH, np.int32)
    for row, found in enumerate(expressed):
        padded[row, : len(found)] = found
    return Candidates(
        expressed=torch.from_numpy(padded),
        counts=counts,
        tier=genes.tier,
        profile=torch.tensor(profile),
        fewest_measured=int(genes.measured[profile].min()),
        first=first,
        total=len(counts) if total is None else total,
    )


def random_counts(rng, cells, expressed):
    counts = np.zeros((cells, WIDTH))
    for row in counts:
        row[rng.choice(WIDTH, size=expressed, replace=False)] = rng.integers(1, 9, size=expressed)
    return counts


def torch_rng(seed):
    return torch.Generator().manual_seed(seed)


def test_space_tells_measured_from_unmeasured_and_from_what_the_table_lacks():
    genes = space([0, 5])
    assert genes.first.tolist() == [0, WIDTH]
    assert genes.measured.tolist() == [2, 30]
    tier = genes.tier.numpy()
    assert np.flatnonzero(tier[0] == MEASURED).tolist() == [0, 5]
    assert (tier[0] == UNMEASURED).sum() == 38
    assert (tier[1, :30] == MEASURED).all()
    assert (tier[1, 30:] == OUTSIDE).all()


@pytest.mark.parametrize("expressed", [0, 3, 10, 25])
@pytest.mark.parametrize("size", [1, 10, 30])
@pytest.mark.parametrize("measured", [40, 32, 12])
def test_random_choice_equals_the_highest_keys_of_the_whole_table(expressed, size, measured):
    rng = np.random.default_rng(0)
    genes = space(np.sort(rng.choice(WIDTH, size=measured, replace=False)))
    counts = random_counts(rng, 8, expressed) * (genes.tier[0].numpy() == MEASURED)
    chosen = RandomExpressedGenes(size).choose(candidates(counts, genes, [0] * 8), torch_rng(7))
    same = torch_rng(7)
    order = torch.randperm(WIDTH, generator=same)
    turn = torch.randint(WIDTH, (8, 1), generator=same, dtype=torch.int32)
    rank = order.argsort()
    tier = torch.where(torch.as_tensor(counts) > 0, EXPRESSED, genes.tier[0].long())
    key = tier + rank[(torch.arange(WIDTH) + turn) % WIDTH] / WIDTH
    expected = key.topk(size, dim=1).indices
    assert torch.equal(chosen.sort(dim=1).values, expected.sort(dim=1).values)


def test_random_choice_takes_expressed_genes_first_and_each_gene_once():
    rng = np.random.default_rng(1)
    few, many = random_counts(rng, 4, 6), random_counts(rng, 4, 20)
    chosen = RandomExpressedGenes(10).choose(
        candidates(np.concatenate([few, many]), space(range(WIDTH)), [0] * 8), torch_rng(0)
    )
    for genes, counts in zip(chosen.numpy(), np.concatenate([few, many]), strict=True):
        assert len(set(genes)) == 10
        assert (counts[genes] > 0).sum() == min(10, (counts > 0).sum())


def test_random_choice_is_uniform_among_expressed_and_among_unexpressed_genes():
    expressed = np.zeros((200, WIDTH))
    expressed[:, 5:25] = 1
    cells = candidates(expressed, space(range(WIDTH)), [0] * 200)
    for size, part, each in ((12, slice(5, 25), 12 / 20), (26, [*range(5), *range(25, 40)], 6 / 20)):
        drawn = np.zeros(WIDTH)
        for seed in range(200):
            drawn += np.bincount(RandomExpressedGenes(size).choose(cells, torch_rng(seed)).flatten(), minlength=WIDTH)
        # Draws of a cell exclude each other, so that the statistic is below that of independent draws: a wide margin is kept.
        expected = np.full(len(drawn[part]), 200 * 200 * each)
        assert stats.chisquare(drawn[part], expected).pvalue > 1e-4


def test_genes_that_were_not_measured_come_last_and_other_tables_never():
    genes = space(range(12))
    counts = np.zeros((2, WIDTH))
    counts[:, :4] = 3
    chosen = RandomExpressedGenes(20).choose(candidates(counts, genes, [0, 1]), torch_rng(0)).numpy()
    assert set(range(12)) <= set(chosen[0])
    assert set(range(4)) <= set(chosen[1])
    assert chosen[1].max() < 30
    assert len(set(chosen[0])) == len(set(chosen[1])) == 20


def test_a_rank_chooses_what_the_whole_batch_would():
    counts = random_counts(np.random.default_rng(2), 6, 15)
    genes, selector = space(range(WIDTH)), RandomExpressedGenes(10)
    whole = selector.choose(candidates(counts, genes, [0] * 6), torch_rng(3))
    part = selector.choose(candidates(counts[4:], genes, [0] * 2, first=4, total=6), torch_rng(3))
    assert torch.equal(whole[4:].sort(dim=1).values, part.sort(dim=1).values)


def test_top_choice_is_by_count_then_by_table_with_unmeasured_genes_last():
    counts = np.zeros((1, WIDTH))
    counts[0, [3, 9, 20]] = [2, 7, 2]
    chosen = TopExpressedGenes(6).choose(candidates(counts, space([3, 5, 9, 20]), [0]), None)
    assert chosen.tolist() == [[9, 3, 20, 5, 0, 1]]


def test_fixed_choice_keeps_the_order_given():
    cells = candidates(np.ones((3, WIDTH)), space(range(WIDTH)), [0] * 3)
    assert FixedGenes((7, 2, 30)).choose(cells, None).tolist() == [[7, 2, 30]] * 3
