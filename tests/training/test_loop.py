import math
import signal
import time

import pytest
import torch

from scprint2.data.corpus import Corpus
from scprint2.experiment import build
from scprint2.training.checkpoint import load_model
from scprint2.training.loop import FiniteGuard, mean_of_finite
from scprint2.training.step import Trainer
from scprint2.training.work import BudgetOver, locked_folder
from tests.training import tiny

STEPS = 18  # three epochs of six


@pytest.fixture(scope="module")
def undisturbed(manifest, tmp_path_factory):
    """Return the folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    tiny.train(manifest, folder)
    return folder


def run(processes, function, *args, **kwargs):
    """Run a function in a process of its own and return its exit code (negative: killed by that signal)."""
    process = processes.Process(target=function, args=args, kwargs=kwargs)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def same_outcome(folder, other):
    assert tiny.losses(folder) == tiny.losses(other)
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (folder, other)]
    assert weights[0] == weights[1]
    assert (folder / "model" / "record.json").read_bytes() == (other / "model" / "record.json").read_bytes()


def checkpoints(folder):
    return sorted(folder.glob("work/*/ckpt-*"))


# --- an undisturbed training


def test_every_epoch_is_validated_and_the_loss_falls(undisturbed):
    history = tiny.losses(undisturbed)
    assert [step for step, split in history if split == "validation"] == [6, 12, 18]
    assert len([step for step, split in history if split == "train"]) == STEPS
    first, last = (float(history[step, "validation"][0]) for step in (6, 18))
    assert last < first


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(manifest, undisturbed, tmp_path):
    tiny.train(manifest, tmp_path / "same")
    same_outcome(tmp_path / "same", undisturbed)
    tiny.train(manifest, tmp_path / "other", seed=1)
    assert tiny.losses(tmp_path / "other") != tiny.losses(undisturbed)


def test_the_record_says_what_was_done_with_what(undisturbed):
    record, cost = (tiny.read_json(undisturbed / "model" / f"{name}.json") for name in ("record", "cost"))
    assert record["corpus"]["name"] == "tiny"
    assert record["precision"] == "fp32"
    assert record["requested_precision"] == "bf16"
    assert (record["epochs"], record["steps"], record["best_step"]) == (3, 18, 18)
    assert "random" in record["gene_embedding"]
    assert (cost["steps"], cost["cells"]) == (STEPS, STEPS * 8)
    assert cost["seconds_per_epoch"] * 3 == pytest.approx(cost["training_seconds"], rel=0.05)
    assert len(cost["segments"]) == 1


def test_warmup_shows_in_the_history(undisturbed):
    history = tiny.losses(undisturbed)
    rates = [float(history[step, "train"][-1]) for step in range(1, 7)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_no_epochs_publish_the_initial_weights(manifest, tmp_path):
    tiny.train(manifest, tmp_path, epochs=0)
    loaded = load_model(tmp_path / "model", "cpu")
    corpus, tree = Corpus.load(manifest), tiny.experiment(epochs=0)
    embedding = loaded.model.gene_encoder.table.detach()
    labels = corpus.select_labels(tree.data.classes)
    initial = build(tree, genes=corpus.genes, labels=labels, gene_embedding=embedding, seed=0).model.state_dict()
    assert all(torch.equal(weight, initial[name]) for name, weight in loaded.model.state_dict().items())
    assert tiny.read_json(tmp_path / "model" / "cost.json")["seconds_per_epoch"] is None


def test_a_training_of_fewer_epochs_is_the_beginning_of_a_longer_one(manifest, undisturbed, tmp_path):
    tiny.train(manifest, tmp_path, epochs=2)
    shorter, longer = tiny.losses(tmp_path), tiny.losses(undisturbed)
    assert len(shorter) < len(longer)
    assert shorter == {key: longer[key] for key in shorter}


def test_a_finished_training_that_is_started_again_publishes_the_same_model(manifest, undisturbed, tmp_path):
    tiny.train(manifest, tmp_path)
    (tmp_path / "model" / "record.json").unlink()
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


def test_a_changed_value_starts_from_the_beginning(manifest, tmp_path, undisturbed):
    tiny.train(manifest, tmp_path, clip_norm=1.0)
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


# --- kills, signals, budgets


@pytest.mark.parametrize("step", [0, 1, 3, 5, 6, 8, 11, 12, 15, 17])
def test_a_killed_training_goes_on_bit_by_bit(manifest, undisturbed, tmp_path, processes, step):
    code = run(processes, tiny.train_disturbed, manifest, tmp_path, place="update", step=step, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert len(checkpoints(tmp_path)) <= 3
    assert (step == 0) == (checkpoints(tmp_path) == [])
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


@pytest.mark.parametrize(("place", "step"), [("validation", 5), ("save", 0), ("save", 8), ("save", 11)])
def test_a_training_killed_in_validation_or_in_a_save_goes_on_bit_by_bit(
    manifest, undisturbed, tmp_path, processes, place, step
):
    code = run(processes, tiny.train_disturbed, manifest, tmp_path, place=place, step=step, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)
    assert not list(tmp_path.glob("work/*/.tmp-*"))


@pytest.mark.parametrize(
    ("place", "step", "number"),
    [
        ("update", 3, signal.SIGTERM),
        ("update", 5, signal.SIGUSR1),
        ("validation", 11, signal.SIGTERM),
        ("save", 8, signal.SIGUSR1),
    ],
)
def test_a_signal_saves_the_state_and_ends_with_its_own_code(
    manifest, undisturbed, tmp_path, processes, place, step, number
):
    code = run(processes, tiny.train_disturbed, manifest, tmp_path, place=place, step=step, number=number)
    assert code == 75
    assert int(checkpoints(tmp_path)[-1].name[5:]) == step + 1 + (place == "save")  # after a save one more step is made
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


def test_a_training_killed_again_and_again_at_any_moment_ends_the_same(manifest, undisturbed, tmp_path, processes):
    for attempt in range(8):
        process = processes.Process(
            target=tiny.train_disturbed,
            args=(manifest, tmp_path),
            kwargs={"place": "nowhere", "step": 0, "number": 0},
        )
        process.start()
        process.join(0.25 + 0.13 * attempt % 0.4)
        process.kill()
        process.join()
        (tmp_path / "work" / "starts.json").unlink(missing_ok=True)
        if process.exitcode == 0:
            break
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


def test_a_budget_ends_a_training_early_and_the_next_ones_finish_it(manifest, undisturbed, tmp_path, monkeypatch):
    update = Trainer.update

    def slow_update(self, batch, *, step, learning_rate):
        time.sleep(0.05)
        return update(self, batch, step=step, learning_rate=learning_rate)

    monkeypatch.setattr(Trainer, "update", slow_update)
    starts = 0
    while not (tmp_path / "model").exists():
        starts += 1
        try:
            tiny.train(manifest, tmp_path, budget_seconds=0.8)
        except BudgetOver:
            assert checkpoints(tmp_path)
    assert starts > 1
    same_outcome(tmp_path, undisturbed)
    segments = tiny.read_json(tmp_path / "model" / "cost.json")["segments"]
    assert [s["first_step"] for s in segments[1:]] == [s["last_step"] for s in segments[:-1]]


def test_a_training_that_dies_three_times_at_the_same_step_is_not_started_again(manifest, tmp_path, processes):
    for _ in range(3):
        run(processes, tiny.train_disturbed, manifest, tmp_path, place="update", step=0, number=signal.SIGKILL)
    with pytest.raises(RuntimeError, match="3 starts in a row did not get past step 0"):
        tiny.train(manifest, tmp_path)


def test_a_second_training_in_the_same_folder_is_turned_away(manifest, tmp_path):
    with locked_folder(tmp_path / "work"), pytest.raises(RuntimeError, match="another training is running"):
        tiny.train(manifest, tmp_path)
    assert not (tmp_path / "model").exists()


# --- damaged checkpoints, full disks


def damage_flip(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def damage_truncate(folder):
    path = folder / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def damage_remove(folder):
    (folder / "model.safetensors").unlink()


def damage_state(folder):
    (folder / "state.json").write_text('{"format": 1, "key"')


def damage_empty_state(folder):
    (folder / "state.json").write_text("{}")


@pytest.mark.parametrize("damage", [damage_flip, damage_truncate, damage_remove, damage_state, damage_empty_state])
def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(
    manifest, undisturbed, tmp_path, processes, damage, capsys
):
    run(processes, tiny.train_disturbed, manifest, tmp_path, place="update", step=9, number=signal.SIGKILL)
    newest = checkpoints(tmp_path)[-1]
    damage(newest)
    tiny.train(manifest, tmp_path)
    said = capsys.readouterr().err
    assert "a checkpoint was set aside" in said
    assert "resumed after step 8" in said
    same_outcome(tmp_path, undisturbed)


def test_a_full_disk_is_loud_and_keeps_the_last_good_checkpoint(manifest, undisturbed, tmp_path, processes):
    run(processes, tiny.train_disturbed, manifest, tmp_path, place="update", step=9, number=signal.SIGKILL)
    before = checkpoints(tmp_path)
    assert run(processes, tiny.train_with_little_disk, manifest, tmp_path, 10_000) == 1
    assert "File too large" in (tmp_path / "error.txt").read_text()
    assert checkpoints(tmp_path) == before
    tiny.train(manifest, tmp_path)
    same_outcome(tmp_path, undisturbed)


# --- divergence, early stop, schedule


def spoil(monkeypatch, steps):
    update = Trainer.update

    def spoiled_update(self, batch, *, step, learning_rate):
        if step in steps:
            batch.counts.fill_(math.nan)
        return update(self, batch, step=step, learning_rate=learning_rate)

    monkeypatch.setattr(Trainer, "update", spoiled_update)


def test_a_single_spoiled_batch_is_skipped_named_and_counted(manifest, tmp_path, monkeypatch, capsys):
    spoil(monkeypatch, {7})
    tiny.train(manifest, tmp_path)
    assert "step 8: loss, reconstruction" in capsys.readouterr().err
    assert tiny.read_json(tmp_path / "model" / "record.json")["skipped_updates"] == 1
    assert math.isfinite(float(tiny.losses(tmp_path)[18, "validation"][0]))


@pytest.mark.parametrize("steps", [{8, 9, 10}, {7, 9, 11}])
def test_divergence_stops_with_the_batch_named_and_nothing_spoiled_on_disk(manifest, tmp_path, monkeypatch, steps):
    spoil(monkeypatch, steps)
    with pytest.raises(FloatingPointError, match=f"update with batch {max(steps)} was skipped"):
        tiny.train(manifest, tmp_path)
    assert not (tmp_path / "model").exists()
    assert [path.name for path in checkpoints(tmp_path)] == ["ckpt-00000006"]


def test_weights_that_are_not_finite_are_never_saved(manifest, tmp_path, monkeypatch):
    update = Trainer.update

    def spoiled_update(self, batch, *, step, learning_rate):
        values = update(self, batch, step=step, learning_rate=learning_rate)
        if step == 5:
            next(self.model.model.trunk.parameters()).data.fill_(math.inf)
        return values

    monkeypatch.setattr(Trainer, "update", spoiled_update)
    with pytest.raises(FloatingPointError, match="validation loss is nan"):
        tiny.train(manifest, tmp_path)
    assert checkpoints(tmp_path) == []


def validate_as(monkeypatch, values):
    """Make the validation losses those given, one per epoch (two batches each)."""
    evaluate, calls = Trainer.evaluate, []

    def scripted(self, batch, *, index):
        calls.append(index)
        return torch.full_like(evaluate(self, batch, index=index), values[(len(calls) - 1) // 2])

    monkeypatch.setattr(Trainer, "evaluate", scripted)


def test_training_stops_early_and_the_best_weights_are_published(manifest, tmp_path, monkeypatch):
    tiny.train(manifest, tmp_path / "short", epochs=2, steps_per_epoch=4)
    validate_as(monkeypatch, [3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    tiny.train(manifest, tmp_path / "long", epochs=20, steps_per_epoch=4)
    record = tiny.read_json(tmp_path / "long" / "model" / "record.json")
    assert (record["epochs"], record["best_step"], record["best_validation_loss"]) == (6, 8, 1.0)
    short, long = (load_model(tmp_path / name / "model", "cpu").model.state_dict() for name in ("short", "long"))
    assert all(torch.equal(short[name], long[name]) for name in short)


def test_the_rate_falls_after_two_epochs_without_improvement(manifest, tmp_path, monkeypatch):
    validate_as(monkeypatch, [1.0, 2.0, 2.0, 2.0, 2.0])
    tiny.train(manifest, tmp_path, epochs=5, steps_per_epoch=4, warmup_steps=0)
    history = tiny.losses(tmp_path)
    rates = [float(history[step, "train"][-1]) for step in (4, 8, 12, 13, 16, 17, 20)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 6e-4, 6e-4, 6e-4, 6e-4])


# --- small parts


def test_the_guard_allows_one_in_a_thousand():
    guard = FiniteGuard()
    for step in range(1, 20_001):
        guard.look(step, {"loss": math.nan if step % 1500 == 0 else 1.0})
    assert guard.total == 13
    strict = FiniteGuard(total=5)
    with pytest.raises(FloatingPointError, match="6 of 6000 steps"):
        strict.look(6000, {"loss": math.nan})


def test_spoiled_steps_do_not_enter_the_mean():
    assert mean_of_finite([[1.0, 2.0], [math.nan, 5.0], [3.0, 4.0]]) == [2.0, 3.0]
    assert all(math.isnan(value) for value in mean_of_finite([[math.nan, 1.0]]))
