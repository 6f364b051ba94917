from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from scprint2.data.batch import CellBatch
from scprint2.model.trunk import Branch
from scprint2.training.schedule import TrainingConfig
from scprint2.training.step import Numerics, Trainable, Trainer, choose_numerics, compile_model, undo_compilation
from tests.helpers import make_batch, make_experiment, make_genes, make_labels, make_model
from tests.training import tiny

CPU = Numerics(torch.device("cpu"), "fp32")
TRAINING = TrainingConfig.model_validate(
    {
        "batch_size": 6,
        "steps_per_epoch": 10,
        "epochs": 1,
        "validation_batches": 2,
        "optimizer": {"learning_rate": 0.1, "betas": [0.9, 0.999], "eps": 1e-7, "weight_decay": 0.01},
        "clip_norm": 0.5,
        "warmup_steps": 0,
        "schedule": {"kind": "plateau", "factor": 0.6, "patience": 2},
        "stop_patience": 4,
        "precision": "bf16",
    }
)


class SquareLoss:
    def __init__(self, *, compares_cells=False):
        self.compares_cells = compares_cells


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((5, 1), 0.1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, counts):
        return counts @ self.weight + self.bias


class LinearModel(Trainable):
    """Least squares on the counts; runs out of memory above `fits` cells."""

    def __init__(self, *, fits=100, compares_cells=False):
        super().__init__()
        self.model = Line()
        self.losses = {"square": SquareLoss(compares_cells=compares_cells)}
        self.fits = fits
        self.seen = []

    def forward(self, batch, *, step, seed):
        self.seen.append((len(batch), step, seed))
        if len(batch) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        loss = (self.model(batch.counts)[:, 0] - batch.depth).square().mean()
        return loss, {"square": loss}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    counts = torch.rand(6, 5, generator=generator)
    return CellBatch(
        genes=torch.arange(5).expand(6, 5),
        counts=counts,
        neighbor_counts=counts[:, None][:, :0],
        neighbor_distances=torch.zeros(6, 0),
        depth=counts.sum(1),
        labels=torch.zeros(6, 1, dtype=torch.long),
    )


def trainer(model, said=None):
    return Trainer(model, TRAINING, numerics=CPU, seed=3, say=(said if said is not None else []).append)


def test_an_update_is_clipped_adamw(batch):
    model, peer = LinearModel(), LinearModel()
    optimizer = torch.optim.AdamW(peer.model.parameters(), lr=0.05, betas=(0.9, 0.999), eps=1e-7, weight_decay=0.01)
    ours = trainer(model)
    for step in range(3):
        values = ours.update(batch, step=step, learning_rate=0.05)
        optimizer.zero_grad()
        loss, _ = peer(batch, step=step, seed=3)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(peer.model.parameters(), 0.5)
        optimizer.step()
        torch.testing.assert_close(values, torch.stack([loss, loss, norm]))
    torch.testing.assert_close(model.model.weight, peer.model.weight)


@pytest.mark.parametrize("parts", [2, 4, 6])  # six cells: 3+3, 2+2+2, and one by one
def test_micro_batches_give_the_gradient_of_the_whole_batch(batch, parts):
    whole, split = LinearModel(), LinearModel()
    trainer(whole).update(batch, step=0, learning_rate=0.1)
    ours = trainer(split)
    ours.micro_batches = parts
    ours.update(batch, step=0, learning_rate=0.1)
    torch.testing.assert_close(split.model.weight.grad, whole.model.weight.grad)
    torch.testing.assert_close(split.model.weight, whole.model.weight)


def test_micro_batches_draw_their_own_randomness(batch):
    model = LinearModel()
    ours = trainer(model)
    ours.micro_batches = 3
    ours.update(batch, step=0, learning_rate=0.1)
    seeds = [seed for _, _, seed in model.seen]
    assert seeds[0] == 3
    assert len(set(seeds)) == 3


def test_out_of_memory_halves_the_micro_batch_until_it_fits_and_says_so(batch):
    whole, small, said = LinearModel(), LinearModel(fits=2), []
    expected = trainer(whole).update(batch, step=0, learning_rate=0.1)
    ours = trainer(small, said)
    torch.testing.assert_close(ours.update(batch, step=0, learning_rate=0.1), expected)
    torch.testing.assert_close(small.model.weight, whole.model.weight)
    assert ours.micro_batches == 4
    assert len(said) == 2
    assert "6 cells now go through in 4 parts" in said[-1]
    ours.update(batch, step=1, learning_rate=0.1)
    assert len(said) == 2


@pytest.mark.parametrize("variant", ["base", "xpressor", "softpick", "criss_cross", "v2_small"])
def test_activations_that_are_computed_again_change_no_number(variant):
    """Dropout included, which draws the same again."""
    batch = make_batch(make_genes(), make_labels(), neighbors=make_experiment(variant).data.neighbors.most)
    results = []
    for recomputes in (False, True):
        ours = Trainer(make_model(variant), TRAINING, numerics=CPU, seed=0, say=print)
        ours.recomputes = recomputes
        values = [ours.update(batch, step=step, learning_rate=0.01) for step in range(2)]
        results.append([*values, *ours.model.model.state_dict().values()])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_activations_are_computed_again_by_the_kernels_of_the_first_time(monkeypatch):
    """Those of a GPU save other tensors, which the gradient cannot mix."""
    preferred, seen = [], []

    @contextmanager
    def note(device):
        preferred.append(device)
        yield
        preferred.pop()

    monkeypatch.setattr("scprint2.training.step.preferred_backends", note)
    ours = Trainer(make_model(), TRAINING, numerics=CPU, seed=0, say=print)
    block = ours.model.model.trunk.blocks[0]
    block.attention.register_forward_hook(lambda *_: seen.append(list(preferred)))
    counts = []
    for recomputes in (False, True):
        ours.recomputes = recomputes
        ours.update(make_batch(make_genes(), make_labels()), step=0, learning_rate=0.1)
        counts.append(len(seen))
    assert counts[1] == 3 * counts[0]  # once, then twice
    assert all(devices == [CPU.device] for devices in seen)


def test_fewer_activations_are_kept_where_they_are_computed_again(batch):
    def kept_bytes(*, recomputes):
        ours = Trainer(make_model(), TRAINING, numerics=CPU, seed=0, say=print)
        ours.recomputes, sizes = recomputes, []

        def keep(part):
            sizes.append(part.nbytes)
            return part

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
            ours.model(make_batch(make_genes(), make_labels()), step=0, seed=0)
        return sum(sizes)

    assert kept_bytes(recomputes=True) < 0.6 * kept_bytes(recomputes=False)


def test_out_of_memory_computes_activations_again_before_it_splits_a_batch(monkeypatch):
    said, fails = [], iter([True, True, False])
    ours = Trainer(make_model(), TRAINING, numerics=CPU, seed=0, say=said.append)
    accumulate, seen = ours._accumulate, []

    def with_little_memory(batch, **keywords):
        seen.append((ours.recomputes, ours.micro_batches))
        if next(fails):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return accumulate(batch, **keywords)

    monkeypatch.setattr(ours, "_accumulate", with_little_memory)
    ours.update(make_batch(make_genes(), make_labels()), step=0, learning_rate=0.1)
    assert seen == [(False, 1), (True, 1), (True, 2)]
    assert "computed again" in said[0]
    assert "2 parts" in said[1]


def test_out_of_memory_stops_when_cells_one_by_one_do_not_fit(batch):
    with pytest.raises(MemoryError, match="out of memory even with 1 cells at a time"):
        trainer(LinearModel(fits=0)).update(batch, step=0, learning_rate=0.1)


def test_at_most_four_halvings(batch):
    many = CellBatch(
        **{
            k: getattr(batch, k).repeat_interleave(10, 0)
            for k in ("genes", "counts", "neighbor_counts", "neighbor_distances", "depth", "labels")
        }
    )
    model = LinearModel(fits=1)
    with pytest.raises(MemoryError, match="even with 4 cells"):
        trainer(model).update(many, step=0, learning_rate=0.1)
    assert [cells for cells, _, _ in model.seen] == [60, 30, 15, 8, 4]


def test_out_of_memory_stops_where_a_loss_compares_cells(batch):
    with pytest.raises(MemoryError, match=r"losses \['square'\] compare the cells"):
        trainer(LinearModel(fits=2, compares_cells=True)).update(batch, step=0, learning_rate=0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_neither_weights_nor_optimizer(batch, value):
    model, undisturbed = LinearModel(), LinearModel()
    ours, peer = trainer(model), trainer(undisturbed)
    bad = replace(batch, counts=batch.counts.clone().index_fill_(0, torch.tensor([2]), value))
    ours.update(batch, step=0, learning_rate=0.1)
    assert not torch.isfinite(ours.update(bad, step=1, learning_rate=0.1)).all()
    ours.update(batch, step=2, learning_rate=0.1)
    peer.update(batch, step=0, learning_rate=0.1)
    peer.update(batch, step=2, learning_rate=0.1)
    assert torch.equal(model.model.weight, undisturbed.model.weight)
    state = ours.optimizer.state[model.model.weight]
    assert state["step"] == 2
    assert torch.isfinite(state["exp_avg"]).all()


def test_a_gradient_that_is_not_finite_is_skipped_though_the_loss_is(batch):
    model = LinearModel()
    ours = trainer(model)
    before = model.model.weight.detach().clone()
    model.model.weight.register_hook(lambda gradient: gradient * float("inf"))
    values = ours.update(batch, step=0, learning_rate=0.1)
    assert torch.isfinite(values[:-1]).all()
    assert not torch.isfinite(values[-1])
    assert torch.equal(model.model.weight, before)


def test_validation_is_in_evaluation_mode_without_gradient_and_repeats_itself(batch):
    model = LinearModel()
    ours = trainer(model)
    first = ours.evaluate(batch, index=4)
    assert not model.model.training
    assert not first.requires_grad
    assert torch.equal(first, ours.evaluate(batch, index=4))
    assert model.seen[0] == model.seen[1]
    assert model.seen[0][2] != 3  # not the randomness of a training step


def test_on_the_cpu_the_precision_is_fp32_whatever_is_asked():
    assert choose_numerics("cpu", precision="bf16") == CPU


def test_an_unknown_device_is_an_error():
    with pytest.raises(ValueError, match="device 'tpu' is not available; allowed here: auto, cpu"):
        choose_numerics("tpu", precision="bf16")


def test_a_failing_compiler_is_left_out_with_one_line(batch):
    model, said = LinearModel(), []
    ours = trainer(model, said)

    def broken(module, inputs):
        raise torch._dynamo.exc.BackendCompilerFailed(broken, RuntimeError("no C compiler"), None)

    model.model.compile(backend=broken)
    ours._compiled = True  # as on a GPU
    expected = trainer(LinearModel()).update(batch, step=0, learning_rate=0.1)
    assert torch.equal(ours.update(batch, step=0, learning_rate=0.1), expected)
    ours.update(batch, step=1, learning_rate=0.1)
    assert len(said) == 1
    assert "torch.compile does not work here" in said[0]


def test_the_whole_model_compiles_without_a_break_in_the_graph(processes):
    process = processes.Process(target=tiny.compile_whole_model)  # there, types are not checked at run time
    process.start()
    process.join(120)
    assert process.exitcode == 0


def test_compilation_can_be_undone():
    model = make_model().model
    plain = model.decode
    compile_model(model)
    assert model.decode is not plain
    undo_compilation(model)
    assert model.decode == plain
    assert model._compiled_call_impl is None


def test_in_bf16_the_loss_stays_close_and_weights_and_gradients_are_fp32():
    model, batch = make_model(), make_batch(make_genes(), make_labels())
    model.eval()
    expected, _ = model(batch, step=0, seed=0)
    with Numerics(torch.device("cpu"), "bf16").context():
        total, _ = model(batch, step=0, seed=0)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(expected.item(), rel=1e-2)
    total.backward()
    assert {weight.grad.dtype for weight in model.model.parameters() if weight.grad is not None} == {torch.float32}


@pytest.mark.parametrize("parts", [2, 5])
def test_micro_batches_give_the_gradient_of_the_whole_batch_in_the_real_model(parts):
    batch = make_batch(make_genes(), make_labels())
    results = []
    for micro_batches in (1, parts):
        model = without_chance()
        ours = trainer(model)
        ours.micro_batches = micro_batches
        values = ours.update(batch, step=0, learning_rate=0.0)
        results.append((values, [weight.grad for weight in model.model.parameters() if weight.requires_grad]))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-6)


def without_chance():
    """Return a small model of the base row whose mask is empty and that drops nothing."""
    model = make_model(views={"corrupted": {"kind": "mask", "share": 1e-9, "scored": "all"}})
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, Branch):
            module.drop_path = 0.0
    return model
