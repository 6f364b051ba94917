import dataclasses

import pytest
import torch

from scprint2.randomness import stream
from scprint2.views import (
    Decode,
    DecodeConfig,
    Downsample,
    DownsampleConfig,
    FixedLevel,
    Mask,
    MaskConfig,
    MaskRegulatorsConfig,
    NeighborsOnlyConfig,
    ShortenConfig,
    UniformLevel,
    downsample,
    regulator_rates,
)
from tests.helpers import make_batch, make_context, make_genes, make_labels, make_model


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
    assert torch.allclose(batch.depth - seen.depth, batch.counts.sum(1) - seen.counts.sum(1))


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


def test_a_fixed_level_is_always_the_same():
    assert FixedLevel(kind="fixed", value=0.7).draw(stream(3)).item() == pytest.approx(0.7)


@pytest.mark.parametrize(("regulators", "factor"), [(5, 10.0), (5, 1.0), (0, 10.0), (50, 10.0)])
def test_regulators_are_hidden_more_often_and_the_share_stays(regulators, factor):
    is_regulator = torch.arange(100).expand(2, 100) < regulators
    rate = regulator_rates(is_regulator, share=0.3, factor=factor)
    assert torch.allclose(rate.mean(1), torch.full((2,), 0.3), atol=1e-6)
    if 0 < regulators < 20:
        assert rate[0, 0].item() == pytest.approx(min(factor * rate[0, -1].item(), 1))


def test_more_regulators_than_the_share_are_hidden_as_far_as_rates_go():
    rate = regulator_rates(torch.arange(10).expand(1, 10) < 2, share=0.3, factor=100.0)
    assert rate[0, :2].tolist() == [1, 1]
    assert rate[0, 2:].tolist() == pytest.approx([1 / 8] * 8)


def test_the_mask_of_regulators_hides_them_most(batch):
    config = MaskRegulatorsConfig(kind="mask_regulators", share=0.3, factor=10, scored="all")
    _, _, changes = show(config.build(make_context()), batch)
    is_regulator = torch.tensor(make_genes().frame["is_tf"].to_numpy())[batch.genes]
    assert changes["hidden"][is_regulator].float().mean() > 3 * changes["hidden"][~is_regulator].float().mean()
    assert abs(changes["hidden"].float().mean().item() - 0.3) < 0.05


def test_only_the_neighbors_are_seen(batch):
    _, seen, changes = show(NeighborsOnlyConfig(kind="neighbors_only").build(make_context()), batch)
    assert seen.counts.abs().max() == 0
    assert torch.equal(seen.neighbor_counts, batch.neighbor_counts)
    assert torch.equal(changes["library"], batch.counts.sum(1))


def shortened(batch, **changes):
    values = {"kind": "shorten", "share": 1.0, "most": 20, "view": {"kind": "mask", "share": 0.3, "scored": "hidden"}}
    view = ShortenConfig.model_validate(values | changes).build(make_context())
    return show(view, batch)


def test_a_shortened_view_sees_fewer_genes_and_answers_at_their_places(batch):
    output, seen, changes = shortened(batch)
    genes = seen.genes.shape[1]
    assert genes < batch.genes.shape[1]
    assert output.expression.mean.shape == batch.counts.shape
    place = (batch.genes[:, :, None] == seen.genes[:, None, :]).float()  # [cell, gene, kept]
    assert torch.equal(place.sum(1), torch.ones(len(batch), genes))
    assert torch.equal(output.scored, (place @ changes["hidden"].float()[..., None])[..., 0] > 0)
    with torch.no_grad():
        direct = make_model().model.eval()(seen, hidden=changes["hidden"])
    expected = (place @ direct.expression.mean[..., None])[..., 0]
    kept = place.sum(2) > 0
    assert torch.allclose(output.expression.mean[kept], expected[kept], rtol=1e-5)


def test_the_number_of_genes_taken_away_is_uniform_and_the_share_of_batches_as_asked(batch):
    view = ShortenConfig.model_validate(
        {"kind": "shorten", "share": 0.2, "most": 10, "view": {"kind": "mask", "share": 0.3, "scored": "all"}}
    ).build(make_context())
    model, seen = make_model().model.eval(), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].genes.shape[1]))
    few = batch.select(slice(0, 1))
    for step in range(400):
        view(model, few, {}, stream(step))
    dropped = torch.tensor([batch.genes.shape[1] - genes for genes in seen])
    assert abs((dropped > 0).float().mean().item() - 0.2 * 10 / 11) < 0.05
    assert dropped.max() == 10


def test_what_is_not_in_a_short_input_is_not_scored_and_harms_no_loss(batch):
    output, *_ = shortened(batch, view={"kind": "downsample", "level": {"kind": "fixed", "value": 0.5}})
    loss = make_model().losses["reconstruction"]({"corrupted": output}, batch)
    assert torch.isfinite(loss)
    assert (~output.scored).any()
