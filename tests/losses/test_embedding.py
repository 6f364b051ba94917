import itertools

import torch
from torch.nn.functional import cosine_similarity

from scprint2.losses.embedding import squared_cosines


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
