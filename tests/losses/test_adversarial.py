import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy

from scprint2.losses.adversarial import AdversarialConfig
from tests.helpers import make_batch, make_genes, make_labels, make_model

LOSS = AdversarialConfig(kind="adversarial", views=["corrupted"], weight=1).build(make_labels())
ORGANISM, ASSAY = make_labels().classes.index("organism"), make_labels().classes.index("assay")


def loss_of(logits, batch):
    output = make_model().model(batch)
    return LOSS({"corrupted": dataclasses.replace(output, adversary_logits=logits)}, batch)


def batch_with(*, organism, assay):
    batch = make_batch(make_genes(), make_labels(), cells=len(organism))
    batch.labels[:, ORGANISM] = torch.tensor(organism)
    batch.labels[:, ASSAY] = torch.tensor(assay)
    return batch


def test_it_is_the_cross_entropy_of_organism_and_assay_group():
    logits = {"organism": torch.randn(3, 2), "assay": torch.randn(3, 2)}
    batch = batch_with(organism=[0, 1, 1], assay=[0, 1, 2])  # the first two assays are one group
    expected = cross_entropy(logits["organism"], torch.tensor([0, 1, 1])) + cross_entropy(
        logits["assay"], torch.tensor([0, 0, 1])
    )
    assert torch.allclose(loss_of(logits, batch), expected)


def test_knowing_nothing_costs_the_logarithm_of_the_choices():
    logits = {"organism": torch.zeros(2, 2), "assay": torch.zeros(2, 2)}
    assert loss_of(logits, batch_with(organism=[0, 1], assay=[0, 2])).item() == pytest.approx(2 * 0.693147)


def test_unknown_labels_add_nothing():
    logits = {"organism": torch.randn(4, 2, requires_grad=True), "assay": torch.randn(4, 2, requires_grad=True)}
    loss = loss_of(logits, batch_with(organism=[-1] * 4, assay=[-1] * 4))
    loss.backward()
    assert loss == 0
    assert logits["organism"].grad.abs().max() == 0


def test_the_loss_of_a_cell_does_not_depend_on_its_batch():
    logits = {"organism": torch.randn(4, 2), "assay": torch.randn(4, 2)}
    batch = batch_with(organism=[0, -1, 1, 1], assay=[-1, -1, 2, 0])
    parts = [
        loss_of({name: value[i : i + 1] for name, value in logits.items()}, batch.select(slice(i, i + 1)))
        for i in range(4)
    ]
    assert torch.allclose(loss_of(logits, batch), torch.stack(parts).mean())
