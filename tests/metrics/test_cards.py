"""Every metric has a card in config/metrics.yaml, and every card a metric."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from scprint2.metrics.annotation import score_annotation
from scprint2.metrics.denoising import score_denoising
from scprint2.metrics.embedding import TOTALS, score_embedding
from scprint2.metrics.networks import score_network
from scprint2.metrics.shuffles import shuffle_truth
from tests.metrics.example import make_example

CARDS = yaml.safe_load((Path(__file__).parents[2] / "config" / "metrics.yaml").read_text())
EDGES = np.array([[0, 1], [2, 3], [2, 5], [7, 1], [7, 9]])
CASES = [(task, metric) for task, cards in CARDS.items() for metric in cards]


def compute_all() -> dict[str, dict]:
    """One score of each metric, on data on which all can be computed."""
    rng = np.random.default_rng(0)
    full = rng.poisson(3, size=(20, 30))
    noisy = rng.binomial(full, 0.5)
    example = make_example(separation=1)
    terms = rng.choice(["CL:1", "CL:2", "CL:3"], 50)
    return {
        "denoise": score_denoising(
            full, noisy=noisy, denoised=full + rng.random((20, 30)), true_mean=rng.random((20, 30))
        ),
        "embed": score_embedding(
            example.embedding, before=example.embedding, labels=example.labels, batches=example.batches
        ),
        "annotate": score_annotation(terms, rng.permutation(terms), ancestors={}),
        "networks": score_network(rng.random((20, 20)), EDGES, shuffled=shuffle_truth(EDGES, genes=20)),
    }


SCORES = compute_all()


@pytest.mark.parametrize("task", CARDS)
def test_the_cards_of_a_task_are_those_of_its_metrics(task):
    elsewhere = {"answerable"} if task == "annotate" else set()  # computed where the corpus is known
    assert set(CARDS[task]) == set(SCORES[task]) | elsewhere


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_a_card_says_everything(task, metric):
    card = CARDS[task][metric]
    assert set(card) == {"range", "better", "meaning", "cheats", "reference", "code"}
    assert card["better"] in ("higher", "lower", "neither")
    module, name = card["code"].rsplit(".", 1)
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(("task", "metric"), [case for case in CASES if case[1] != "answerable"])
def test_a_value_lies_in_the_range_of_its_card(task, metric):
    low, high = CARDS[task][metric]["range"]
    value = SCORES[task][metric].value
    assert low <= value <= (np.inf if high is None else high)
    assert (high == 100) == (metric in TOTALS or task == "annotate")
