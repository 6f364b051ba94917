"""Fine-tuning on one's own labelled cells: what learns, from which losses, and what is published."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import energy_distance
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.config.finetuning import FinetuneSettings
from scprint2.config.overlay import list_variants
from scprint2.finetune import finetune, finetuning_experiment, split_rows
from scprint2.losses.domain import maximum_mean_discrepancy
from scprint2.tasks import own_cells
from scprint2.tasks.own_labels import encode_domains, encode_labels
from scprint2.training.checkpoint import ModelParts, load_model, publish_model, read_tensors
from tests.helpers import ROOT, make_experiment
from tests.tasks.conftest import make_pretrained
from tests.tasks.example import B_CELL, CD4, T_CELL, make_cells

LEARNS = FinetuneSettings(
    weights="all", epochs=6, learning_rate=3e-3, batch_size=16, validation_share=0.25, max_genes=30
)
CD4_HELPER = "CL:0000492"  # CD4-positive helper T cell, below CD4
XPRESSOR = "cell_pooling."


def publish(folder, variant):
    made = make_pretrained(variant)
    record = {"corpus": {"name": "none"}, "seed": 0, "gene_embedding": "random"}
    parts = (made.experiment, made.genes, made.labels, "step\n", {}, record)
    publish_model(folder, ModelParts(made.model.state_dict(), *parts))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of an untrained model with an XPressor."""
    return publish(tmp_path_factory.mktemp("models") / "xpressor", "xpressor")


@pytest.fixture(scope="module")
def mine():
    """Labelled cells of two types in two batches, with labels as names."""
    cells = make_cells(160)
    cells.obs["author"] = cells.obs["cell_type_ontology_term_id"].map(
        {CD4: "CD4-positive, alpha-beta T cell", B_CELL: "B cell"}
    )
    return cells


def weights_of(folder):
    return read_tensors(folder / "model.safetensors", sha256=None)


# the discrepancy between domains


def test_the_discrepancy_is_the_value_by_hand_and_the_energy_distance_of_scipy():
    points, domains = torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([0, 0, 1])
    # between: (4 + 3) / 2; within the first: (0 + 1 + 1 + 0) / 4; within the second: 0
    assert maximum_mean_discrepancy(points, domains).item() == pytest.approx(2 * 3.5 - 0.5)
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=30), rng.normal(1, 2, size=20)
    both = torch.tensor(np.concatenate([left, right])[:, None], dtype=torch.float32)
    found = maximum_mean_discrepancy(both, torch.tensor([3] * 30 + [5] * 20))
    assert found.item() == pytest.approx(energy_distance(left, right) ** 2, rel=1e-4)


def test_each_of_several_domains_is_compared_with_all_other_cells_and_unknown_ones_are_left_out():
    rng = np.random.default_rng(1)
    points, domains = rng.normal(size=(40, 3)), rng.integers(-1, 3, 40)

    def mean_distance(left, right):
        return np.linalg.norm(left[:, None] - right[None], axis=-1).mean()

    values = []
    for domain in range(3):
        inside, rest = points[domains == domain], points[(domains != domain) & (domains >= 0)]
        values.append(2 * mean_distance(inside, rest) - mean_distance(inside, inside) - mean_distance(rest, rest))
    found = maximum_mean_discrepancy(torch.tensor(points, dtype=torch.float32), torch.tensor(domains))
    assert found.item() == pytest.approx(np.mean(values), rel=1e-5)


def test_one_domain_has_no_discrepancy_and_equal_points_have_a_finite_gradient():
    points = torch.ones(6, 2, requires_grad=True)
    assert maximum_mean_discrepancy(points, torch.zeros(6, dtype=torch.long)).item() == 0
    maximum_mean_discrepancy(points, torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    assert torch.isfinite(points.grad).all()
    apart = torch.tensor([[0.0], [1.0], [4.0], [5.0]], requires_grad=True)
    maximum_mean_discrepancy(apart, torch.tensor([0, 0, 1, 1])).backward()
    assert (apart.grad[:2] < 0).all(), "descent moves the domains towards each other"
    assert (apart.grad[2:] > 0).all()


# labels and domains


def test_labels_are_ids_or_names_and_those_below_a_known_one_count_as_it(model):
    pretrained = load_model(model)
    given = ["B cell", B_CELL, CD4_HELPER, "B-lymphocyte", "hepatocyte", None]
    adata = anndata.AnnData(np.zeros((6, 1)), obs=pd.DataFrame({"type": given}, index=[str(i) for i in range(6)]))
    codes, report = encode_labels(pretrained, adata, {"cell_type": "type"})
    table = pretrained.labels["cell_type"]
    place = pretrained.labels.classes.index("cell_type")
    b_cell, cd4 = table.codes[B_CELL], table.codes[CD4]
    assert codes[:, place].tolist() == [b_cell, b_cell, cd4, b_cell, -1, -1]
    assert (np.delete(codes, place, axis=1) == -1).all()
    assert report.set_index("label").loc[CD4_HELPER, "counts_as"] == CD4
    assert report["cells"].sum() == 6


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"cell_type": "no_such"}, "no column 'no_such'"),
        ({"shoe_size": "batch"}, "predicts no 'shoe_size'"),
        ({"cell_type": "batch"}, "knows not one label of obs\\['batch'\\]"),
        ({}, "no labels are given"),
    ],
)
def test_labels_that_cannot_be_used_are_one_clear_error(model, mine, labels, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        finetune(model, mine, labels=labels, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_domains_are_numbered_and_one_is_too_few(mine):
    assert set(encode_domains(mine, "batch")) == {0, 1}
    mine = mine.copy()
    mine.obs["half"] = pd.Categorical(np.where(np.arange(mine.n_obs) < 5, None, mine.obs["batch"]))
    assert (encode_domains(mine, "half")[:5] == -1).all()
    mine.obs["one"] = "x"
    with pytest.raises(ValueError, match="1 domain"):
        encode_domains(mine, "one")


# the experiment


@pytest.mark.parametrize("variant", sorted(list_variants(ROOT / "config")))
def test_every_row_with_labels_can_be_fine_tuned_by_its_own_losses(variant):
    parent = make_experiment(variant)
    kinds = {loss.kind for loss in parent.losses.values()}
    if "hierarchical" not in kinds:
        with pytest.raises(ValueError, match="trained without labels"):
            finetuning_experiment(parent, FinetuneSettings())
        return
    tuned = finetuning_experiment(parent, FinetuneSettings())
    assert {loss.kind for loss in tuned.losses.values()} <= kinds
    assert ("generated" in tuned.views) == any(view.kind == "decode" for view in parent.views.values())
    assert ("kl" in kinds) == any(loss.kind == "kl" for loss in tuned.losses.values())
    assert {name: tuned.losses[name].weight for name in tuned.losses} == {
        name: parent.losses[name].weight for name in tuned.losses
    }
    assert (tuned.model, tuned.data) == (parent.model, parent.data)


# training


def test_the_layers_of_the_xpressor_alone_learn(model, mine, tmp_path):
    settings = FinetuneSettings(epochs=1, learning_rate=1e-2, batch_size=16, max_genes=30)
    tuned = finetune(model, mine, labels={"cell_type": "author"}, out=tmp_path / "tuned", settings=settings)
    before, after = weights_of(model), weights_of(tmp_path / "tuned")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith(XPRESSOR)}
    assert tuned.record["parameters"]["trained"] == sum(before[name].numel() for name in moved)


def test_all_weights_learn_the_types_of_the_cells_and_the_model_works_as_any_other(model, mine, tmp_path):
    tuned = finetune(model, mine, labels={"cell_type": "author"}, out=tmp_path / "tuned", settings=LEARNS)
    before = tuned.record["finetuned"]["accuracy_before"]["cell_type"]
    after = tuned.record["validation_accuracy"]["cell_type"]
    assert before["cells"] == after["cells"] == 40
    assert before["accuracy"] < 0.8 < 0.9 < after["accuracy"]
    history = pd.read_csv(tmp_path / "tuned/history.csv").query("split == 'validation'")
    assert tuned.record["best_validation_loss"] == pytest.approx(history["loss"].min())
    assert tuned.record["best_step"] == history.set_index("step")["loss"].idxmin()
    assert tuned.record["finetuned"]["parent"]["sha256"] == load_model(model).record["sha256"]
    new = make_cells(60, seed=5)
    own_cells.annotate(tuned, new, classes=["cell_type"])
    right = new.obs["scprint2_cell_type_ontology_term_id"].astype(str) == new.obs["cell_type_ontology_term_id"]
    assert right.mean() > 0.9


def test_the_same_seed_gives_the_same_weights_and_the_held_out_cells_do_not_move(model, mine, tmp_path):
    settings = FinetuneSettings(epochs=1, batch_size=16, max_genes=20, seed=3)
    for name in ("one", "two"):
        finetune(model, mine, labels={"cell_type": "author"}, out=tmp_path / name, settings=settings)
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    learnt, held = split_rows(100, share=0.1, seed=3)
    assert sorted([*learnt, *held]) == list(range(100))
    assert len(held) == 10
    assert (held != split_rows(100, share=0.1, seed=4)[1]).any()


def test_domains_come_closer_when_they_are_asked_to(model, tmp_path):
    """One batch has half of its counts three times as high."""
    mine = make_cells(160)
    shifted = np.where(mine.obs["batch"] == "b2", 3, 1)[:, None] ** (np.arange(mine.n_vars) % 2)
    mine.X = mine.X.multiply(shifted).tocsr().astype(np.int32)
    apart = {}
    for weight in (0.0, 50.0):
        settings = FinetuneSettings(
            weights="all", epochs=4, learning_rate=3e-3, batch_size=40, domain_weight=weight, max_genes=30
        )
        tuned = finetune(
            model, mine, labels={"cell_type": "cell_type_ontology_term_id"}, out=tmp_path / f"w{weight}",
            domain_key="batch", settings=settings,
        )  # fmt: skip
        history = pd.read_csv(tmp_path / f"w{weight}/history.csv").query("split == 'validation'")
        apart[weight] = history["domains"].iloc[-1]
        assert tuned.record["finetuned"]["settings"]["domain_weight"] == weight
    assert apart[50.0] < 0.5 * apart[0.0], apart


@pytest.mark.parametrize(
    ("variant", "cells", "settings", "message"),
    [
        ("base", 40, {}, "has no XPressor"),
        ("no_classification", 40, {"weights": "all"}, "trained without labels"),
        ("xpressor", 10, {}, "needs 20"),
    ],
)
def test_what_cannot_be_fine_tuned_is_one_clear_error(variant, cells, settings, message, tmp_path):
    folder = publish(tmp_path / "model", variant)
    labels = {"cell_type": "cell_type_ontology_term_id"}
    with pytest.raises(ValueError, match=message):
        finetune(folder, make_cells(cells), labels=labels, out=tmp_path / "out", settings=FinetuneSettings(**settings))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"batch_size": 1}, {"validation_share": 1.0}])
def test_settings_outside_of_their_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} is"):
        FinetuneSettings(**wrong)


# the command


def test_the_command_says_the_accuracy_before_and_after(model, mine, tmp_path):
    mine.write_h5ad(tmp_path / "mine.h5ad")
    command = [
        "finetune",
        "--model",
        str(model),
        "--cells",
        str(tmp_path / "mine.h5ad"),
        "--out",
        str(tmp_path / "tuned"),
    ]
    command += ["--label", "cell_type=author", "--domain-key", "batch", "--weights", "all", "--epochs", "1"]
    result = CliRunner().invoke(app, [*command, "--batch-size", "32"])
    assert result.exit_code == 0, result.output
    assert "cell_type: accuracy" in result.output
    record = json.loads((tmp_path / "tuned/record.json").read_text())
    assert record["finetuned"]["settings"]["domain_key"] == "batch"
    assert {row["label"] for row in record["finetuned"]["labels"]} == set(mine.obs["author"])
    assert T_CELL not in {row["counts_as"] for row in record["finetuned"]["labels"]}
    wrong = CliRunner().invoke(app, [*command[:7], "--label", "author"])
    assert wrong.exit_code == 2
    assert "CLASS=COLUMN" in wrong.output
