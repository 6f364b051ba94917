import json
import math

import pytest
import torch
from pydantic import ValidationError

from scprint2.config.overlay import difference, list_variants, resolve
from scprint2.experiment import Experiment, experiment_schema
from tests.helpers import (
    CONFIG,
    ROOT,
    VARIANTS,
    build_small,
    first_losses,
    make_batch,
    make_experiment,
    make_genes,
    make_labels,
    make_model,
)


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


@pytest.mark.parametrize("variant", VARIANTS)
def test_removing_any_loss_leaves_the_others_bit_equal(variant, batch):
    """Training mode: masks, noise, dropout and draws of a compressor are the same, too."""
    tree = make_experiment(variant).model_dump()
    _, with_all = build_small(Experiment.model_validate(tree))(batch, step=3, seed=0)
    assert list(with_all) == list(tree["losses"])
    for removed in tree["losses"]:
        rest = {name: loss for name, loss in tree["losses"].items() if name != removed}
        _, without = build_small(Experiment.model_validate(tree | {"losses": rest}))(batch, step=3, seed=0)
        assert list(without) == list(rest)
        for name, term in without.items():
            assert torch.equal(term, with_all[name]), f"{name} without {removed}"


def test_rows_that_change_nothing_but_losses_share_the_others_with_their_reference(batch):
    found = []
    for variant, row in list_variants(CONFIG).items():
        changed, tree = difference_of(variant, row.reference)
        if {path.split(".")[0] for path in changed} != {"losses"}:
            continue
        found.append(variant)
        reference = make_experiment(row.reference).model_dump()
        terms, others = (build_small(Experiment.model_validate(t))(batch, step=3, seed=0)[1] for t in (tree, reference))
        shared = [name for name in terms if tree["losses"][name] == reference["losses"].get(name)]
        assert len(shared) >= 3
        assert all(torch.equal(terms[name], others[name]) for name in shared), variant
    assert len(found) >= 4, found


def difference_of(variant, reference):
    """Return how a row's experiment differs from another's, and the experiment as a tree."""
    tree = make_experiment(variant).model_dump()
    return difference(tree, make_experiment(reference).model_dump()), tree


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
