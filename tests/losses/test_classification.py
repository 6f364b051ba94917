import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from scprint2.data.vocabulary import LabelTable
from scprint2.losses.classification import HierarchicalTable, label_targets, parent_logits

# leaves a b c d; parents: ab, cd, all, bc (which overlaps ab and cd in part)
TABLE = LabelTable(
    name="cell_type",
    leaves=tuple("abcd"),
    parents=("ab", "cd", "all", "bc"),
    members=((0, 1), (2, 3), (0, 1, 2, 3), (1, 2)),
    names={},
)
MEMBERSHIP = torch.tensor(TABLE.membership, dtype=torch.float64)


def test_targets_of_a_known_leaf():
    targets, weights = label_targets(TABLE.membership, disjoint_parents="ignored")
    assert targets[0].tolist() == [1, 0, 0, 0, 1, 0, 1, 0]
    assert np.allclose(weights[0], [1, 1, 1, 1, 1 / np.sqrt(2), 0, 1 / 2, 0])


def test_targets_of_a_parent_leave_its_leaves_open():
    targets, weights = label_targets(TABLE.membership, disjoint_parents="ignored")
    row = TABLE.codes["ab"]
    assert targets[row].tolist() == [0, 0, 0, 0, 1, 0, 1, 0]
    assert np.allclose(weights[row], [0, 0, 1, 1, 1 / np.sqrt(2), 0, 1 / 2, 0])


def test_parents_inside_the_label_and_partial_overlaps_are_ignored():
    _, weights = label_targets(TABLE.membership, disjoint_parents="negative")
    row = TABLE.codes["all"]
    assert weights[row].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 0]


def test_disjoint_parents_are_negative_when_asked_for():
    targets, weights = label_targets(TABLE.membership, disjoint_parents="negative")
    assert targets[0, 5] == 0
    assert np.isclose(weights[0, 5], 1 / np.sqrt(2))


def test_an_unknown_label_adds_nothing():
    table, logits = HierarchicalTable(TABLE, "ignored"), torch.randn(3, 4, requires_grad=True)
    loss = table(logits, torch.full((3,), -1))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


def test_parent_logits_equal_logsumexp_of_each_parent():
    logits = torch.randn(6, 4)
    expected = torch.stack([logits[:, list(members)].logsumexp(1) for members in TABLE.members], dim=1)
    assert torch.allclose(parent_logits(logits, MEMBERSHIP), expected, atol=1e-6)


def test_parent_logits_survive_logits_of_a_hundred():
    logits = torch.tensor([[100.0, 100.0, -100.0, -100.0]], requires_grad=True)
    parents = parent_logits(logits, MEMBERSHIP)
    assert torch.allclose(parents, torch.tensor([[100.6931, -99.3069, 100.6931, 100.0]]), atol=1e-3)
    parents.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_the_loss_equals_a_loop_over_cells_and_labels():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 4, 6, -1])
    targets, weights = label_targets(TABLE.membership, disjoint_parents="ignored")
    total = 0.0
    for cell, label in enumerate(labels.tolist()):
        both = torch.cat([logits[cell], torch.stack([logits[cell, list(m)].logsumexp(0) for m in TABLE.members])])
        if label >= 0:
            total += binary_cross_entropy_with_logits(
                both, torch.tensor(targets[label]).float(), weight=torch.tensor(weights[label]).float(), reduction="sum"
            )
    assert torch.allclose(HierarchicalTable(TABLE, "ignored")(logits, labels), total / (5 * 8), atol=1e-6)


@pytest.mark.parametrize("others", [[0, 1], [3, -1]])
def test_the_gradient_of_a_cell_does_not_depend_on_the_other_cells(others):
    torch.manual_seed(0)
    table, logits = HierarchicalTable(TABLE, "ignored"), torch.randn(3, 4, requires_grad=True)
    table(logits, torch.tensor([2, *others])).backward()
    alone = logits.detach().clone().requires_grad_()
    table(alone, torch.tensor([2, -1, -1])).backward()
    assert torch.allclose(logits.grad[0], alone.grad[0], atol=1e-7)


def test_a_perfect_prediction_costs_nothing_and_a_near_miss_less_than_a_far_one():
    table = HierarchicalTable(TABLE, "negative")
    right, near, far = (torch.full((1, 4), -20.0).index_fill(1, torch.tensor([i]), 20.0) for i in (0, 1, 3))
    truth = torch.tensor([0])
    assert table(right, truth) < 1e-6
    assert table(near, truth) < table(far, truth)
