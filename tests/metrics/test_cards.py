"""Every metric has a card in config/metrics.yaml, and every card a metric."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from scprint2.config.tasks import read_tasks
from scprint2.metrics.denoising import score_denoising
from scprint2.metrics.embedding import TOTALS, score_embedding
from scprint2.metrics.networks import score_network
from scprint2.metrics.shuffles import shuffle_truth
from scprint2.tasks.annotate import AnnotateSettings, Evidence, answer
from scprint2.tasks.scores import annotation_scores
from tests.helpers import CONFIG
from tests.metrics.example import make_example
from tests.tasks.example import make_cells

CARDS = yaml.safe_load((Path(__file__).parents[2] / "config" / "metrics.yaml").read_text())
EDGES = np.array([[0, 1], [2, 3], [2, 5], [7, 1], [7, 9]])
CASES = [(task, metric) for task, cards in CARDS.items() for metric in cards]


def compute_all() -> dict[str, dict]:
    """One score of each metric, on data on which all can be computed."""
    rng = np.random.default_rng(0)
    full = rng.poisson(3, size=(20, 30))
    noisy = rng.binomial(full, 0.5)
    example = make_example(separation=1)
    return {
        "denoise": score_denoising(
            full, noisy=noisy, denoised=full + rng.random((20, 30)), true_mean=rng.random((20, 30))
        ),
        "embed": score_embedding(
            example.embedding, before=example.embedding, labels=example.labels, batches=example.batches
        ),
        "annotate": annotation_scores(make_annotation(rng)),
        "networks": score_network(rng.random((20, 20)), EDGES, shuffled=shuffle_truth(EDGES, genes=20)),
    }


def make_annotation(rng):
    """Random answers for some cells, with the refinements of the gymnasium."""
    settings = read_tasks(CONFIG, scale="mini")["tasks"]["annotate"]["settings"]
    evidence = Evidence(
        ("CL:1", "CL:2", "CL:3", "CL:4", "CL:5", "CL:6"),
        rng.normal(size=(60, 6)).astype(np.float32),
        rng.normal(size=(60, 4)).astype(np.float32),
    )
    cells = make_cells(60)
    cells.obs["cell_type_ontology_term_id"] = rng.choice(evidence.leaves, 60)
    return answer(cells, evidence, settings=AnnotateSettings.model_validate(settings))


SCORES = compute_all()


@pytest.mark.parametrize("task", CARDS)
def test_the_cards_of_a_task_are_those_of_its_metrics(task):
    assert set(CARDS[task]) == set(SCORES[task])


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_a_card_says_everything(task, metric):
    card = CARDS[task][metric]
    assert set(card) == {"range", "better", "meaning", "cheats", "reference", "code"}
    assert card["better"] in ("higher", "lower", "neither")
    module, name = card["code"].rsplit(".", 1)
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize(("task", "metric"), CASES)
def test_a_value_lies_in_the_range_of_its_card(task, metric):
    low, high = CARDS[task][metric]["range"]
    value = SCORES[task][metric].value
    assert low <= value <= (np.inf if high is None else high)
    assert (high == 100) == (metric in TOTALS or task == "annotate")
