import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity as all_cosines
from torch.nn.functional import cosine_similarity

from scprint2.losses.embedding import (
    ContrastiveConfig,
    ElasticConfig,
    KlConfig,
    elastic_similarity,
    info_nce,
    squared_cosines,
)
from tests.helpers import make_batch, make_genes, make_labels, make_model


def test_orthogonal_embeddings_cost_nothing_and_parallel_ones_cost_one():
    assert squared_cosines(torch.eye(4)[None]) == 0
    assert torch.allclose(squared_cosines(torch.ones(2, 3, 5)), torch.tensor(1.0))
    assert torch.allclose(squared_cosines(torch.tensor([[[1.0, 0.0], [-2.0, 0.0]]])), torch.tensor(1.0))


def test_it_is_the_mean_over_pairs_of_one_cell():
    embeddings = torch.randn(3, 4, 6)
    pairs = [
        cosine_similarity(cell[i], cell[j], dim=0) ** 2
        for cell in embeddings
        for i, j in itertools.permutations(range(4), 2)
    ]
    assert torch.allclose(squared_cosines(embeddings), torch.stack(pairs).mean(), atol=1e-6)


def test_going_downhill_makes_them_independent():
    embeddings = torch.randn(2, 4, 16, requires_grad=True)
    before = squared_cosines(embeddings)
    before.backward()
    assert squared_cosines(embeddings - 0.5 * embeddings.grad) < before


def test_views_that_agree_and_cells_that_do_not_cost_what_the_formula_says():
    cells = torch.eye(2)
    expected = -math.log(math.exp(1 / 0.3) / (math.exp(1 / 0.3) + 1))
    assert info_nce(cells, 5 * cells, temperature=0.3).item() == pytest.approx(expected, rel=1e-5)


def test_contrast_is_scikit_learns_log_loss_of_the_softmax_of_cosines():
    first, second = torch.randn(6, 10), torch.randn(6, 10)
    scores = np.exp(all_cosines(first.double().numpy(), second.double().numpy()) / 0.3)
    expected = log_loss(np.arange(6), scores / scores.sum(1, keepdims=True))
    assert info_nce(first, second, temperature=0.3).item() == pytest.approx(expected, rel=1e-5)


def test_contrast_has_nothing_to_tell_apart_in_one_cell():
    assert info_nce(torch.randn(1, 4), torch.randn(1, 4), temperature=0.3) == 0


def test_going_down_the_contrast_brings_the_views_of_a_cell_together():
    first, second = torch.randn(5, 8, requires_grad=True), torch.randn(5, 8, requires_grad=True)
    loss = info_nce(first, second, temperature=0.3)
    loss.backward()
    assert first.grad.abs().amin() > 0
    moved = first.detach() - first.grad, second.detach() - second.grad
    assert info_nce(*moved, temperature=0.3) < loss
    assert cosine_similarity(*moved).mean() > cosine_similarity(first, second).mean()


def test_contrast_compares_all_embeddings_of_a_cell_laid_end_to_end():
    model, batch = make_model("contrastive"), make_batch(make_genes(), make_labels())
    output = model.model.eval()(batch)
    config = ContrastiveConfig(kind="contrastive", views=["a", "b"], weight=1, temperature=0.3)
    flat = output.cell_embeddings.reshape(len(batch), -1)
    loss = config.build(make_labels())({"a": output, "b": output}, batch)
    assert torch.allclose(loss, info_nce(flat, flat, temperature=0.3))


def test_elastic_similarity_of_two_cells_is_that_of_the_formula():
    one = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    assert elastic_similarity(one, threshold=0.3).item() == pytest.approx(1 - 0.7**2)
    assert elastic_similarity(torch.eye(2), threshold=0.3).item() == pytest.approx(1 - 0.3**2)
    assert elastic_similarity(torch.tensor([[1.0], [-1.0]]), threshold=0.3).item() == pytest.approx(1 - 0.3**2)


def test_elastic_similarity_is_the_mean_over_pairs_of_different_cells():
    cells = torch.randn(5, 7)
    cosines = all_cosines(cells.double().numpy())
    pairs = [1 - (max(0, cosines[i, j]) - 0.3) ** 2 for i, j in itertools.permutations(range(5), 2)]
    assert elastic_similarity(cells, threshold=0.3).item() == pytest.approx(np.mean(pairs), rel=1e-5)


def test_elastic_similarity_pushes_from_the_threshold_to_either_side():
    def gradient_at(cosine):
        other = torch.tensor([cosine, math.sqrt(1 - cosine**2)], requires_grad=True)
        elastic_similarity(torch.stack([torch.tensor([1.0, 0.0]), other]), threshold=0.3).backward()
        return other.grad[0]

    assert gradient_at(0.6) < 0 < gradient_at(0.1)
    assert gradient_at(-0.5) == 0


def test_elastic_similarity_has_nothing_to_compare_in_one_cell():
    assert elastic_similarity(torch.randn(3, 1, 4), threshold=0.3).tolist() == [0, 0, 0]


def test_elastic_loss_is_summed_over_the_embeddings_of_a_cell():
    model, batch = make_model("elastic"), make_batch(make_genes(), make_labels())
    output = model.model.eval()(batch)
    loss = ElasticConfig(kind="elastic", views=["a"], weight=1, threshold=0.3).build(make_labels())(
        {"a": output}, batch
    )
    tokens = [elastic_similarity(cells, threshold=0.3) for cells in output.cell_embeddings.unbind(1)]
    assert torch.allclose(loss, torch.stack(tokens).sum())


def test_losses_that_compare_cells_say_so():
    model = make_model("contrastive"), make_model("elastic"), make_model("vae")
    comparing = {name for m in model for name, loss in m.losses.items() if loss.compares_cells}
    assert comparing == {"contrastive", "elastic"}


def test_divergence_is_the_mean_over_cells():
    model, batch = make_model("vae"), make_batch(make_genes(), make_labels())
    output = model.model.eval()(batch)
    loss = KlConfig(kind="kl", views=["a", "b"], weight=1, warmup_steps=0).build(make_labels())
    assert torch.allclose(loss({"a": output, "b": output}, batch), 2 * output.divergence.mean())
    assert output.divergence.min() > 0
