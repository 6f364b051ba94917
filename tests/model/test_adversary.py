import pytest
import torch

from scprint2.data.vocabulary import LabelVocabulary
from scprint2.model.adversary import NoneConfig, ReversedConfig, reverse_gradient
from tests.helpers import make_context

REVERSED = ReversedConfig(kind="reversed", hidden=6, strength=1)


@pytest.fixture
def adversary():
    torch.manual_seed(0)
    return REVERSED.build(make_context(), dim=16)


def test_reversal_changes_no_value():
    values = torch.randn(4, 3)
    assert torch.equal(reverse_gradient(values, 2.0), values)


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_reversal_turns_the_gradient_around(strength):
    values, weight = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    (reverse_gradient(values, strength) * weight).sum().backward()
    assert torch.equal(values.grad, -strength * weight)


def test_heads_learn_what_the_embedding_unlearns(adversary):
    cells = torch.randn(5, 8, 16, requires_grad=True)
    adversary(cells)["assay"].logsumexp(-1).sum().backward()
    reversed_gradient = cells.grad[:, 0].clone()
    head_gradient = adversary.heads["assay"][0].weight.grad.clone()
    cells.grad, adversary.heads["assay"][0].weight.grad = None, None
    adversary.heads["assay"](cells[:, 0]).logsumexp(-1).sum().backward()
    assert torch.allclose(reversed_gradient, -cells.grad[:, 0], atol=1e-6)
    assert torch.allclose(head_gradient, adversary.heads["assay"][0].weight.grad, atol=1e-6)


def test_only_the_cell_type_embedding_is_freed(adversary):
    cells = torch.randn(5, 8, 16, requires_grad=True)
    sum(logits.square().sum() for logits in adversary(cells).values()).backward()
    assert (cells.grad[:, 0] != 0).any()
    assert (cells.grad[:, 1:] == 0).all()


def test_it_guesses_organisms_and_groups_of_assays(adversary):
    logits = adversary(torch.randn(5, 8, 16))
    assert {name: value.shape[1] for name, value in logits.items()} == {"organism": 2, "assay": 2}


def test_without_an_adversary_nothing_is_guessed():
    absent = NoneConfig(kind="none").build(make_context(), dim=16)
    assert absent(torch.randn(5, 8, 16)) == {}
    assert not list(absent.parameters())


def test_a_model_without_the_classes_that_it_needs_is_refused():
    context = make_context()
    tables = tuple(table for table in context.labels.tables if table.name != "assay")
    fewer = type(context)(
        dim=16, genes=context.genes, labels=LabelVocabulary(tables), gene_embedding=context.gene_embedding
    )
    with pytest.raises(ValueError, match=r"needs the classes \['assay'\]"):
        REVERSED.build(fewer, dim=16)
