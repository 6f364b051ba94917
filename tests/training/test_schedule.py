import pytest
import torch
from pydantic import ValidationError

from scprint2.training.schedule import TrainingConfig, is_finished, learning_rate, plateau_state

SETTINGS = {
    "batch_size": 4,
    "steps_per_epoch": 10,
    "epochs": 20,
    "validation_batches": 2,
    "optimizer": {"learning_rate": 1.0, "betas": [0.9, 0.999], "eps": 1e-7, "weight_decay": 0.01},
    "clip_norm": 10,
    "warmup_steps": 4,
    "schedule": {"kind": "plateau", "factor": 0.6, "patience": 2},
    "stop_patience": 4,
    "precision": "bf16",
}
TRAINING = TrainingConfig.model_validate(SETTINGS)


def test_warmup_is_linear_and_reaches_the_full_rate_at_its_last_step():
    assert [learning_rate(step, [], training=TRAINING) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_no_warmup_starts_with_the_full_rate():
    assert learning_rate(0, [], training=TRAINING.model_copy(update={"warmup_steps": 0})) == 1.0


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], 1.0),
        ([3, 2, 1], 1.0),
        ([1, 2], 1.0),
        ([1, 2, 2], 0.6),  # two epochs without improvement
        ([1, 2, 2, 2], 0.6),
        ([1, 2, 2, 2, 2], 0.36),
        ([1, 2, 2, 0.5, 0.6, 0.4], 0.6),  # an improvement ends the waiting, the reduced rate stays
        ([1, 1, 1], 0.6),  # an equal loss is no improvement
    ],
)
def test_the_rate_falls_each_time_two_epochs_pass_without_improvement(losses, expected):
    assert learning_rate(100, [float(loss) for loss in losses], training=TRAINING) == pytest.approx(expected)


def test_plateau_agrees_with_torch():
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(200, generator=generator).cumsum(0).sub(torch.arange(200) * 0.5).tolist()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch lowers the rate at the epoch after `patience` bad ones
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.6, patience=1, threshold=0, min_lr=0, eps=0)
    for epoch, loss in enumerate(losses, start=1):
        peer.step(loss)
        assert learning_rate(100, losses[:epoch], training=TRAINING) == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("losses", "finished"),
    [([1, 2, 2, 2], False), ([1, 2, 2, 2, 2], True), ([3, 1, 2, 2, 2], False), ([3, 1, 2, 2, 2, 2], True)],
)
def test_training_stops_after_four_epochs_without_improvement(losses, finished):
    assert is_finished([float(loss) for loss in losses], training=TRAINING) == finished


def test_the_best_epoch_is_the_first_with_the_lowest_loss():
    assert plateau_state([3.0, 1.0, 2.0, 1.0], patience=2).best_epoch == 2


def test_training_stops_after_the_last_epoch():
    assert not is_finished([20.0 - epoch for epoch in range(19)], training=TRAINING)
    assert is_finished([20.0 - epoch for epoch in range(20)], training=TRAINING)


def test_zero_epochs_is_finished_at_once():
    assert is_finished([], training=TRAINING.model_copy(update={"epochs": 0}))


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 0}, {"clip_norm": 0}, {"precision": "fp16"}, {"seed": 1}, {"schedule": {"kind": "cosine"}}],
)
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ValidationError):
        TrainingConfig.model_validate(SETTINGS | change)
