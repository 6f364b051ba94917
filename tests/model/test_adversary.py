import pytest
import torch
from torch.nn.functional import cross_entropy

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


def train_encoder(adversary, *, seed: int) -> tuple[float, float]:
    """Train a linear encoder of cells that show type and organism, the organism three times as clearly.

    Returns how much of the variance of its embedding the organism explains, and how many types are told right.
    """
    draws = torch.Generator().manual_seed(seed)
    types, organism = torch.randint(4, (256,), generator=draws), torch.randint(2, (256,), generator=draws)
    features = torch.cat([torch.eye(4)[types], 3 * torch.eye(2)[organism]], dim=1)
    features = features + 0.3 * torch.randn(256, 6, generator=draws)
    encoder, head = torch.nn.Linear(6, 16), torch.nn.Linear(16, 4)
    parameters = [*encoder.parameters(), *head.parameters(), *adversary.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)  # at ten times as much the two chase each other in circles
    for _ in range(1500):
        embedding = encoder(features)
        guesses = adversary(embedding[:, None].expand(-1, 8, -1))
        loss = cross_entropy(head(embedding), types)
        if "organism" in guesses:
            loss = loss + cross_entropy(guesses["organism"], organism)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    embedding = encoder(features).detach()
    means = torch.stack([embedding[organism == number].mean(dim=0) for number in (0, 1)])
    explained = means[organism].var(dim=0).sum() / embedding.var(dim=0).sum()
    return float(explained), float((head(embedding).argmax(dim=1) == types).float().mean())


@pytest.mark.parametrize("seed", range(3))
def test_an_encoder_unlearns_the_organism_and_keeps_the_type(seed):
    results = []
    for config in (NoneConfig(kind="none"), ReversedConfig(kind="reversed", hidden=16, strength=1)):
        torch.manual_seed(seed)
        results.append(train_encoder(config.build(make_context(), dim=16), seed=seed))
    (explained, right), (explained_against, right_against) = results
    assert explained_against < explained / 2
    assert right_against > right - 0.05


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
