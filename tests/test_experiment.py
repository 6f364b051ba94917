import json
import math

import pytest
import torch
from pydantic import ValidationError

from scprint2.config.overlay import resolve
from scprint2.experiment import Experiment, experiment_schema
from tests.helpers import CONFIG, ROOT, VARIANTS, first_losses, make_batch, make_genes, make_labels, make_model


@pytest.fixture(scope="module")
def batch():
    return make_batch(make_genes(), make_labels())


@pytest.mark.parametrize("scale", ["mini", "pocket", "paper"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_a_valid_experiment_at_every_scale(variant, scale):
    Experiment.model_validate(resolve(CONFIG, scale=scale, variant=variant))


def test_an_unknown_key_and_a_missing_value_are_refused():
    tree = resolve(CONFIG, scale="mini", variant="base")
    with pytest.raises(ValidationError, match="extra"):
        Experiment.model_validate({**tree, "model": {**tree["model"], "droput": 0.1}})
    with pytest.raises(ValidationError, match="Field required"):
        Experiment.model_validate({**tree, "model": {k: v for k, v in tree["model"].items() if k != "dim"}})


def test_the_schema_is_in_step_with_the_classes():
    stored = json.loads((ROOT / "config/schemas/experiment.schema.json").read_text())
    assert stored == json.loads(json.dumps(experiment_schema())), "run: python -m tests.golden.record"


def test_removing_a_loss_leaves_the_others_bit_equal(batch):
    _, with_all = make_model("base")(batch, step=3, seed=0)
    _, without = make_model("no_classification")(batch, step=3, seed=0)
    assert set(with_all) - set(without) == {"classification"}
    for name, term in without.items():
        assert torch.equal(term, with_all[name]), name


def test_the_total_is_the_weighted_sum(batch):
    model = make_model()
    total, terms = model(batch, step=0, seed=0)
    weights = {"reconstruction": 1, "generation": 1, "classification": 1, "independence": 0.1}
    assert torch.allclose(total, sum(weights[name] * term for name, term in terms.items()))


def test_the_weight_of_a_divergence_grows_in_training_and_is_whole_at_validation(batch):
    divergence = {"kind": "kl", "views": ["corrupted"], "weight": 2.0, "warmup_steps": 10}
    model = make_model("vae", losses={"divergence": divergence})

    def weight(step):
        total, terms = model(batch, step=step, seed=0)
        rest = sum(model.weights[name] * term for name, term in terms.items() if name != "divergence")
        return ((total - rest) / terms["divergence"]).item()

    model.model.train()
    assert [weight(step) for step in (0, 4, 9, 100)] == pytest.approx([0.2, 1.0, 2.0, 2.0], rel=1e-3)
    model.model.eval()
    assert weight(0) == pytest.approx(2.0, rel=1e-3)


def test_a_step_draws_the_same_whatever_was_drawn_before(batch):
    model = make_model()
    first, _ = model(batch, step=7, seed=2)
    torch.rand(1000)
    model(batch, step=8, seed=2)
    again, _ = model(batch, step=7, seed=2)
    other, _ = model(batch, step=8, seed=2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_class_loss_of_a_cell_does_not_depend_on_its_batch(batch):
    model = make_model().eval()
    outputs = model.model(batch)
    loss = model.losses["classification"]
    whole = loss({"corrupted": outputs}, batch)
    parts = [
        loss({"corrupted": model.model(batch.select(slice(i, i + 1)))}, batch.select(slice(i, i + 1)))
        for i in range(len(batch))
    ]
    assert torch.allclose(whole, torch.stack(parts).mean(), atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_guard_the_model_revision(variant):
    """If this fails the numbers of trainings have changed: raise MODEL_REVISION, then run `python -m tests.golden.record`."""
    golden = json.loads((ROOT / "tests/golden/losses.json").read_text())
    losses = first_losses(variant)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses == pytest.approx(golden["losses"][variant], rel=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_has_as_many_parameters_as_recorded(variant):
    recorded = json.loads((ROOT / "tests/golden/variants.json").read_text())[variant]["parameters"]
    assert sum(weight.numel() for weight in make_model(variant).model.parameters()) == recorded


def test_golden_losses_were_recorded_for_this_revision():
    from scprint2 import MODEL_REVISION

    assert json.loads((ROOT / "tests/golden/losses.json").read_text())["revision"] == MODEL_REVISION
