import dataclasses

import pytest
import torch

from scprint2.randomness import stream
from scprint2.views import (
    Decode,
    DecodeConfig,
    Downsample,
    DownsampleConfig,
    Mask,
    MaskConfig,
    UniformLevel,
    downsample,
)
from tests.helpers import make_batch, make_genes, make_labels, make_model


def show(view, batch):
    """Run a view on a small model: its output, and the batch and changes that the model was called with."""
    model, calls = make_model().model.eval(), []
    model.register_forward_pre_hook(
        lambda module, inputs, changes: calls.append((inputs[0], changes)), with_kwargs=True
    )
    output = view(model, batch, {}, stream(0))
    return output, *calls[0]


@pytest.fixture
def batch():
    return make_batch(make_genes(), make_labels(), cells=40)


# The expected shares are those of counts as small as in single cells; large counts lose 1 - (1 - 0.55 r)^2.
@pytest.mark.parametrize(
    ("level", "share"), [(0.0, 0.0), (0.35, 0.35), (0.6, 0.55), (0.7, 0.61), (0.8, 0.68), (1.0, 0.78)]
)
def test_downsampling_removes_the_expected_share(level, share):
    counts = torch.poisson(torch.full((400, 500), 4.0), generator=stream(1))
    left = downsample(counts, level, rng=stream(0))
    assert abs(1 - left.sum().item() / counts.sum().item() - share) < 0.015
    assert left.min() >= 0
    assert (left <= counts).all()
    assert torch.equal(left, left.round())


def test_the_mask_hides_its_share_and_scores_all_genes(batch):
    output, _, changes = show(Mask(MaskConfig(kind="mask", share=0.3, scored="all")), batch)
    assert abs(changes["hidden"].float().mean().item() - 0.3) < 0.05
    assert output.scored is None


def test_the_mask_can_score_the_hidden_genes_only(batch):
    output, _, changes = show(Mask(MaskConfig(kind="mask", share=0.3, scored="hidden")), batch)
    assert torch.equal(output.scored, changes["hidden"])


def test_the_downsampled_view_asks_for_the_counts_as_they_were(batch):
    view = Downsample(DownsampleConfig(kind="downsample", level=UniformLevel(kind="uniform", least=0.5, most=0.5)))
    _, seen, changes = show(view, batch)
    assert torch.equal(changes["depth"], batch.depth)
    assert torch.equal(changes["library"], batch.counts.sum(1))
    assert seen.counts.sum() < 0.7 * batch.counts.sum()


def test_one_noise_level_per_batch():
    level = UniformLevel(kind="uniform", least=0.2, most=0.8)
    draws = torch.stack([level.draw(stream(step)) for step in range(300)])
    assert draws[0].ndim == 0
    assert 0.2 <= draws.min() < 0.25
    assert 0.75 < draws.max() <= 0.8


def test_decode_regenerates_from_the_embeddings_of_its_source(batch):
    model = make_model().model.eval()
    source = model(batch)
    output = Decode(DecodeConfig(kind="decode", source="seen"))(model, batch, {"seen": source}, stream(0))
    assert torch.equal(output.cell_embeddings, source.cell_embeddings)
    other = dataclasses.replace(source, cell_embeddings=source.cell_embeddings.flip(0))
    changed = Decode(DecodeConfig(kind="decode", source="seen"))(model, batch, {"seen": other}, stream(0))
    assert not torch.allclose(output.expression.mean, changed.expression.mean)
