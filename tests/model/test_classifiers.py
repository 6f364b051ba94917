import pytest
import torch
from torch.nn.functional import gelu

from scprint2.model.classifiers import LinearConfig, MlpConfig
from tests.helpers import make_context, make_model

WIDTHS = (16, 4, 8, 8, 8, 2, 8, 16)
MLP = MlpConfig(kind="mlp", hidden=6, output_bias=-0.12)


def make_latents():
    return tuple(torch.randn(3, width, requires_grad=True) for width in WIDTHS)


def test_a_large_classifier_has_one_hidden_layer_per_class():
    torch.manual_seed(0)
    classifier, latents = MLP.build(make_context(), widths=WIDTHS), make_latents()
    for index, (name, logits) in enumerate(classifier(latents).items()):
        weight_1, bias_1, weight_2, bias_2 = classifier.heads[index].parameters()
        hidden = gelu(latents[index] @ weight_1.T + bias_1, approximate="tanh")
        assert weight_1.shape == (6, WIDTHS[index]), name
        assert torch.allclose(logits, hidden @ weight_2.T + bias_2, atol=1e-6), name


def test_a_large_classifier_matches_hand_values():
    """The class `sex` has two leaves; its latent is one number, 3. Far from zero a GELU is a ReLU."""
    config = MlpConfig(kind="mlp", hidden=2, output_bias=0.5)
    classifier = config.build(make_context(), widths=[1] * len(WIDTHS))
    first, _, last = classifier.heads[5]
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[10.0], [-10.0]]))
        first.bias.copy_(torch.tensor([0.0, 45.0]))
        last.weight.copy_(torch.tensor([[0.1, 2.0], [-0.2, 1.0]]))
        last.bias.fill_(0.5)
        logits = classifier([torch.tensor([[3.0]])] * len(WIDTHS))["sex"]
    # the hidden layer is 30 and 45 less 30
    assert logits.flatten().tolist() == pytest.approx([3 + 30 + 0.5, -6 + 15 + 0.5])


def test_there_is_a_logit_per_leaf():
    context = make_context()
    for config in (MLP, LinearConfig(kind="linear", output_bias=0)):
        logits = config.build(context, widths=WIDTHS)(make_latents())
        assert {name: value.shape[1] for name, value in logits.items()} == {
            table.name: len(table.leaves) for table in context.labels.tables
        }


def test_a_class_is_told_from_its_own_embedding_alone():
    latents = make_latents()
    MLP.build(make_context(), widths=WIDTHS)(latents)["tissue"].sum().backward()
    assert [latent.grad is not None for latent in latents] == [False, True, *[False] * 6]


def test_only_the_last_layer_starts_unlikely():
    heads = make_model("large_classifier").model.classifier.heads
    assert all(torch.equal(head[0].bias, torch.zeros_like(head[0].bias)) for head in heads)
    assert all(torch.equal(head[2].bias, torch.full_like(head[2].bias, -0.12)) for head in heads)


def test_the_hidden_layer_is_that_of_the_paper():
    assert make_model("large_classifier", scale="paper").model.classifier.heads[0][0].weight.shape == (256, 256)
