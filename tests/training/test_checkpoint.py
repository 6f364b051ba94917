import errno
import json
import pickle
import shutil
import signal
import time

import pytest
import safetensors.torch
import torch

from scprint2.data.corpus import Corpus
from scprint2.training.checkpoint import (
    MODEL_FILES,
    Checkpoint,
    CheckpointStore,
    atomic_folder,
    corpus_sha256,
    load_model,
    read_tensors,
    run_key,
    write_tensors,
)
from tests.training import tiny


def checkpoint(step, *, best=None, value=1.0):
    return Checkpoint(step, {"w": torch.full((3,), value)}, {"w/step": torch.tensor(1.0)}, {"best_step": best})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def trained(manifest, tmp_path_factory):
    """Return a finished model folder."""
    folder = tmp_path_factory.mktemp("trained")
    tiny.train(manifest, folder, epochs=1)
    return folder / "model"


@pytest.fixture
def model(trained, tmp_path):
    """Return a copy of a finished model folder, to be spoiled."""
    return shutil.copytree(trained, tmp_path / "model")


# --- the store


def test_tensors_come_back_bit_by_bit(tmp_path):
    tensors = {"a": torch.randn(5, 3), "b": torch.tensor(7.0), "c": torch.zeros(0), "view": torch.randn(4, 6).T}
    checksum = write_tensors(tmp_path / "x.safetensors", tensors)
    loaded = read_tensors(tmp_path / "x.safetensors", sha256=checksum)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    whole = torch.arange(6.0)
    write_tensors(tmp_path / "x.safetensors", {"whole": whole, "part": whole[:3]})
    assert torch.equal(read_tensors(tmp_path / "x.safetensors", sha256=None)["part"], whole[:3])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_saved(tmp_path, value):
    store = CheckpointStore(tmp_path, key="k")
    store.save(checkpoint(1))
    with pytest.raises(FloatingPointError, match=r"not finite in \['w'\]"):
        store.save(checkpoint(2, value=value))
    assert names(tmp_path) == ["ckpt-00000001"]


def test_the_last_two_and_the_best_of_each_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, key="k")
    for step, best in [(1, 1), (2, 1), (3, 1), (4, 4), (5, 4), (6, 4)]:
        store.save(checkpoint(step, best=best))
        kept = [int(name[5:]) for name in names(tmp_path)]
        assert kept == {1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 3, 4], 5: [4, 5], 6: [4, 5, 6]}[step]


def test_a_save_of_the_same_step_replaces_the_older_one(tmp_path):
    store = CheckpointStore(tmp_path, key="k")
    store.save(checkpoint(1, value=1.0))
    store.save(checkpoint(1, value=2.0))
    assert store.load(1).model["w"].tolist() == [2.0] * 3
    assert names(tmp_path) == ["ckpt-00000001"]


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    CheckpointStore(tmp_path, key="theirs").save(checkpoint(1))
    store = CheckpointStore(tmp_path, key="ours")
    assert store.newest() is None
    assert "belongs to another run" in store.rejected[0]


def test_a_pickle_is_not_opened(tmp_path):
    store = CheckpointStore(tmp_path, key="k")
    store.save(checkpoint(1))

    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = store.path(1) / "model.safetensors"
    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match="damaged"):
        store.load(1)
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_tensors(path, sha256=None)
    assert not (tmp_path / "ran").exists()


def _save_for_ever(folder):
    store = CheckpointStore(folder, key="k")
    newest = store.newest()
    step = 0 if newest is None else newest.step
    while True:
        step += 1
        state = {"best_step": step - step % 3}
        store.save(Checkpoint(step, {"w": torch.full((5000,), float(step))}, {"w/step": torch.tensor(1.0)}, state))
        (folder / "done").write_text(str(step))


def test_a_kill_at_random_moments_never_leaves_an_unreadable_checkpoint(tmp_path, processes):
    for attempt in range(8):
        process = processes.Process(target=_save_for_ever, args=(tmp_path,))
        process.start()
        time.sleep(0.15 + 0.037 * (attempt % 7))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        store = CheckpointStore(tmp_path, key="k")
        newest = store.newest()
        assert store.rejected == []
        if newest is not None:
            assert newest.model["w"].tolist() == [float(newest.step)] * 5000
            assert newest.step >= int((tmp_path / "done").read_text() or 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_an_error_while_writing_leaves_the_old_folder_and_no_rest(tmp_path, number):
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("old")

    def fail(folder):
        (folder / "a").write_text("new")
        raise OSError(number, "disk")

    with pytest.raises(OSError, match="disk"), atomic_folder(tmp_path / "out") as folder:
        fail(folder)
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_the_key_depends_on_all_that_changes_the_numbers(manifest):
    corpus = corpus_sha256(Corpus.load(manifest))
    table = torch.zeros(2, 2)
    given = {"experiment": {"a": 1}, "seed": 0, "corpus_sha256": corpus, "embedding": table}

    def key(**changes):
        values = given | changes
        return run_key(values.pop("experiment"), **values)

    keys = [
        key(),
        key(experiment={"a": 2}),
        key(seed=1),
        key(corpus_sha256="other"),
        key(embedding=table + 1),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


# --- the model folder


def test_a_model_folder_holds_everything_and_loads_strictly(trained):
    assert names(trained) == sorted(MODEL_FILES)
    loaded = load_model(trained, "cpu")
    assert not loaded.model.training
    weights = safetensors.torch.load_file(trained / "model.safetensors")
    assert set(weights) == set(loaded.model.state_dict())
    assert all(torch.equal(weights[name], weight) for name, weight in loaded.model.state_dict().items())
    assert loaded.experiment == tiny.experiment(epochs=1)
    assert len(loaded.genes) == tiny.GENES
    assert loaded.labels.classes == loaded.experiment.data.classes
    assert set(loaded.labels["cell_type"].leaves + loaded.labels["cell_type"].parents) >= set(tiny.TYPES)


def rewrite_weights(folder, change):
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    checksum = write_tensors(path, weights)
    record = json.loads((folder / "record.json").read_text())
    record["sha256"]["model.safetensors"] = checksum
    (folder / "record.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("trunk.norm.weight"), "Missing key.*trunk.norm.weight"),
        (lambda weights: weights.update(more=torch.zeros(1)), "Unexpected key.*more"),
        (lambda weights: weights.update({"trunk.norm.weight": torch.zeros(3)}), "size mismatch for trunk.norm.weight"),
    ],
)
def test_weights_that_do_not_fit_are_refused(model, change, message):
    rewrite_weights(model, change)
    with pytest.raises(ValueError, match=f"(?s)do not fit the model.*{message}"):
        load_model(model, "cpu")


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    with pytest.raises(ValueError, match=f"is not a model folder: .*{name}"):
        load_model(model, "cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
@pytest.mark.parametrize("cut", [0, 1, 10])
def test_a_flipped_or_cut_file_is_refused(model, name, cut):
    content = bytearray((model / name).read_bytes())
    content[len(content) // 2] ^= 4
    (model / name).write_bytes(bytes(content[: len(content) - cut]))
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        load_model(model, "cpu")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_a_foreign_record_is_refused(model, text):
    (model / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"record.json' is not readable|record.json is not readable|has format 99"):
        load_model(model, "cpu")


def test_a_folder_that_is_not_there_is_an_error_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="is not a model folder.*scprint2 pretrain --out"):
        load_model(tmp_path / "nowhere", "cpu")
