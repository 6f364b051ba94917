"""What every metric must give for a perfect, a random, a constant and an ordinary prediction, and for permuted rows.

The scorers are run as the workflow runs them, on predictions that hold all that one can hold, so that a metric that joins one of
them joins here too; what its values must be is added to `GOLDEN`.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

from scprint2.cards import PART, find_card
from scprint2.tasks.examples import (
    EXAMPLES,
    FURTHER_KIND,
    GENES,
    KINDS,
    LEAVES,
    LEUKOCYTES,
    METHODS,
    TRUTHS,
    TYPES,
    shuffle_rows,
)
from scprint2.tasks.layout import TERM, read_truths
from scprint2.tasks.scores import SCORERS
from scprint2.tasks.selection import dense_counts

CONFIG = Path(__file__).parents[2] / "config"
CARDS = yaml.safe_load((CONFIG / "metrics.yaml").read_text())
TOLERANCES = pd.read_csv(CONFIG / "drift.tsv", sep="\t").set_index(["task", "metric"])["tolerance"]


@cache
def scores(task: str, kind: str) -> dict:
    return SCORERS[task](EXAMPLES[task](kind))


def value(task: str, kind: str, metric: str) -> float:
    score = scores(task, kind)[metric]
    assert score.status == "ok", score.reason
    return score.value


METRICS = [(task, metric) for task in EXAMPLES for metric in scores(task, "ordinary")]


@dataclass(frozen=True)
class Golden:
    """What the values must be: a number with its error, or a range; a `constant` of None must fail."""

    perfect: tuple[float, float]
    random: tuple[float, float]
    constant: tuple[float, float] | None


def about(center: float, error: float = 1e-6) -> tuple[float, float]:
    return center - error, center + error


def golden_denoising() -> dict[str, Golden]:
    """By hand and scipy: what the noise took is what a perfect restoration gains."""
    example = EXAMPLES["denoise"]("perfect")
    full, noisy = dense_counts(example), dense_counts(example, "noisy")
    seen = full != 0
    pooled = float(spearmanr(noisy[seen], full[seen]).statistic)
    everything = float(spearmanr(noisy.ravel(), full.ravel()).statistic)
    cells = [spearmanr(a[b != 0], b[b != 0]).statistic for a, b in zip(noisy, full, strict=True)]
    per_cell = float(np.mean(cells))
    found = {}
    for suffix, noise in (("", pooled), ("_all", everything), ("_true_mean", everything)):
        found[f"spearman_denoised{suffix}"] = Golden(about(1), (-0.05, 0.05), None)
        found[f"spearman_noisy{suffix}"] = Golden(about(noise), about(noise), about(noise))
        found[f"spearman_gain{suffix}"] = Golden(about(100 * (1 - noise)), about(-100 * noise, 5), None)
    found["spearman_gain_per_cell"] = Golden(about(100 * (1 - per_cell)), about(-100 * per_cell, 5), None)
    found |= {f"{metric}:uninflated": golden for metric, golden in found.items() if "gain" in metric}
    for quarter in range(1, 5):  # cells by depth, the shallowest first: they lost more
        found[f"spearman_gain:depth_{quarter}"] = Golden((10, 32), (-95, -60), None)
    return found


def golden_annotation() -> dict[str, Golden]:
    """Eight types, none a descendant of another, so that strict and ontology-aware scores agree; the cells have four.

    The constant answer calls all types alike, with a confidence of 0.5: the first is taken, the five best are the types of
    leukocytes, and their parent is right for every cell and excludes the other three.
    """
    truth = EXAMPLES["annotate"]("perfect").obs[TERM].astype(str)
    shares = {term: 100 * float((truth == term).mean()) for term in TYPES}
    share, first = shares[TYPES[0]], sum(shares[term] for term in TYPES[:3])
    right = Golden(about(100), (5, 22), about(share))
    f1 = Golden(about(100), (2, 16), about(100 * 2 * share / (100 + share) / len(TYPES)))
    clustered = Golden(about(100), (0, 35), about(share))  # one call for many cells: chance has a wide range
    clustered_f1 = Golden(about(100), (0, 20), f1.constant)
    whole = Golden(about(100), about(100), about(100))
    information = about(100 * (1 - np.log(LEUKOCYTES) / np.log(len(LEAVES))))
    found = {
        "coverage": whole,
        "answerable": whole,
        "accuracy_answered_90": Golden(about(100), (5, 22), about(share)),
        "risk_coverage_area": Golden(about(0), (78, 97), about(100 - share)),
        "calibration_error": Golden(about(0, 1e-4), (55, 75), about(abs(share - 50))),
        "accuracy_shared_parent": Golden(about(100), (50, 95), about(100)),
        "information_shared_parent": Golden(about(100), (15, 55), information),
        "informed_accuracy_shared_parent": Golden(about(100), (1, 20), information),
    }
    for strict in ("", "_strict"):
        found |= {f"accuracy{strict}{suffix}": right for suffix in ("", "_smoothed")}
        found |= {f"macro_f1{strict}{suffix}": f1 for suffix in ("", "_smoothed")}
        found |= {f"accuracy{strict}_cluster_{statistic}": clustered for statistic in ("mean", "max")}
        found |= {f"macro_f1{strict}_cluster_{statistic}": clustered_f1 for statistic in ("mean", "max")}
        found[f"accuracy_top_3{strict}"] = Golden(about(100), about(100 * 3 / 8, 10), about(first))
        found[f"accuracy_top_5{strict}"] = Golden(about(100), about(100 * 5 / 8, 10), about(100))
    return found


def golden_networks() -> dict[str, Golden]:
    """Two known networks over other sources: of 312 edges 40 are true, and of 156 edges 24."""
    found = {}
    for number, (truth, (sources, targets)) in enumerate(TRUTHS.items()):
        positives, edges = len(sources) * targets, len(sources) * (GENES - 1)
        for suffix in ("", f"_{METHODS[1]}"):
            golden = golden_network(positives, edges)
            found |= {f"{metric}{suffix}" + (f":{truth}" if number else ""): one for metric, one in golden.items()}
    return found


def golden_network(positives: int, edges: int) -> dict[str, Golden]:
    prevalence, rejected = positives / edges, edges - positives
    perfect_odds = (positives + 0.5) * (rejected + 0.5) / 0.5**2
    return {
        "odds_ratio": Golden(about(perfect_odds), (0.2, 3), about(1)),
        "auprc": Golden(about(1 - prevalence), (-0.1, 0.1), about(0)),
        "average_precision": Golden(about(1), (0.05, 0.35), about(prevalence)),
        "average_precision_gain": Golden(about(1 / prevalence), (0.3, 2), about(1)),
        "odds_ratio_shuffled": Golden((0.5, 12), (0.1, 3), about(1)),
        "auprc_shuffled": Golden((-0.1, 0.2), (-0.1, 0.1), about(0)),
        "average_precision_shuffled": Golden((0.05, 0.5), (0.05, 0.35), about(prevalence)),
        "average_precision_gain_shuffled": Golden((0.4, 3), (0.3, 2), about(1)),
        "precision_gain_shuffled": Golden((0.4, 4), (0.2, 2), about(1)),
        "shuffled_kept": Golden((0, 0.6), (0, 0.6), (0, 0.6)),
        "precision_gain": Golden(about(1 / prevalence), (0.2, 2), about(1)),
        "prevalence": Golden(about(prevalence), about(prevalence), about(prevalence)),
    }


def golden_embedding() -> dict[str, Golden]:
    """Four far clusters in which batches mix; random numbers, which mix batches as well; one point, which nothing can score.

    A further kind of embedding, of the same sort, has the summary alone.
    """
    near_one, mixed = (0.95, 1.0), (0.8, 1.0)
    exact = Golden(about(1), (0, 0.6), None)
    batch = Golden(mixed, mixed, None)
    found = {
        "isolated_labels": Golden(near_one, (0.45, 0.55), None),
        "silhouette_label": Golden(near_one, (0.45, 0.55), None),
        "nmi_kmeans": Golden(about(1), (0, 0.06), None),
        "ari_kmeans": Golden(about(1), (-0.05, 0.05), None),
        "nmi_leiden": Golden(about(1), (0, 0.12), None),
        "ari_leiden": Golden(about(1), (-0.05, 0.05), None),
        "isolated_labels_f1": exact,
        "clisi": Golden(about(1), (0, 0.4), None),
        "knn_label_purity": Golden(about(1), (0.15, 0.4), None),
        "bras": batch,
        "silhouette_batch": batch,
        "ilisi": batch,
        "cilisi": batch,
        "kbet_per_label": batch,
        "graph_connectivity": Golden((0.9, 1.0), (0.3, 1.0), None),
        "graph_connectivity_symmetric": Golden(about(1), (0.5, 1.0), None),
        "pcr_comparison": batch,
        "open_problems_total": Golden((94, 100), (45, 65), None),
        "scib_bio": Golden((97, 100), (15, 35), None),
        "scib_batch": Golden((88, 100), (70, 100), None),
        "scib_total": Golden((94, 100), (40, 62), None),
        "scib_classic_total": Golden((94, 100), (40, 68), None),
    }
    summary = ("scib_bio", "scib_batch", "scib_total", "bras", "cilisi", "knn_label_purity")
    return found | {f"{metric}:{FURTHER_KIND}": found[metric] for metric in summary}


GOLDEN = {
    (task, metric): golden
    for task, build in {
        "denoise": golden_denoising,
        "embed": golden_embedding,
        "annotate": golden_annotation,
        "networks": golden_networks,
    }.items()
    for metric, golden in build().items()
}


def test_every_scored_metric_has_golden_values_and_every_golden_value_is_scored():
    assert set(GOLDEN) == set(METRICS)


def test_every_card_has_golden_values_and_every_golden_metric_a_card():
    further = f"_{METHODS[1]}"  # a method's scores have the cards of the metrics, and so has what stands behind a colon
    golden = {(task, metric.split(PART)[0].removesuffix(further)) for task, metric in GOLDEN}
    assert golden == {(task, metric) for task, cards in CARDS.items() for metric in cards}


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_a_metric_has_a_card_and_keeps_to_its_range(task, metric):
    low, high = find_card(CARDS, task, metric)["range"]
    for kind in KINDS:
        score = scores(task, kind)[metric]
        assert score.value is None or low <= score.value <= (np.inf if high is None else high)
        assert (score.value is None) == (score.reason != "")


@pytest.mark.parametrize(("task", "metric"), METRICS)
def test_what_is_perfect_is_no_worse_than_what_is_ordinary(task, metric):
    sign = {"higher": 1, "lower": -1, "neither": 0}[find_card(CARDS, task, metric)["better"]]
    assert sign * value(task, "perfect", metric) >= sign * value(task, "ordinary", metric) - 1e-9


@pytest.mark.parametrize("kind", ["perfect", "random"])
@pytest.mark.parametrize(("task", "metric"), GOLDEN)
def test_perfect_and_random_predictions_get_their_value(task, metric, kind):
    low, high = getattr(GOLDEN[task, metric], kind)
    assert low <= value(task, kind, metric) <= high


@pytest.mark.parametrize(("task", "metric"), GOLDEN)
def test_a_constant_prediction_gets_chance_or_fails_with_a_reason(task, metric):
    expected = GOLDEN[task, metric].constant
    score = scores(task, "constant")[metric]
    if expected is None:
        assert score.status == "failed"
        assert "constant" in score.reason or "same embedding" in score.reason
    else:
        assert expected[0] <= score.value <= expected[1]


@pytest.mark.parametrize("kind", ["perfect", "ordinary"])
@pytest.mark.parametrize("task", EXAMPLES)
def test_permuted_rows_give_the_same_scores(task, kind):
    shuffled = SCORERS[task](shuffle_rows(EXAMPLES[task](kind), seed=101))
    assert list(shuffled) == list(scores(task, kind))
    for metric, score in shuffled.items():
        assert score.value == pytest.approx(value(task, kind, metric), abs=TOLERANCES[task, metric]), metric


def test_the_average_precision_of_a_network_is_scikit_learns():
    prediction = EXAMPLES["networks"]("ordinary")
    truth = np.zeros((GENES, GENES))
    first, (sources, _) = next(iter(TRUTHS.items()))
    for source, target in read_truths(prediction)[first].to_numpy():
        truth[prediction.var_names.get_loc(source), prediction.var_names.get_loc(target)] = 1
    universe = np.zeros_like(truth, dtype=bool)
    universe[list(sources)] = True
    universe &= ~np.eye(GENES, dtype=bool)
    expected = average_precision_score(truth[universe], prediction.varp["GRN"][universe])
    assert value("networks", "ordinary", "average_precision") == pytest.approx(expected)
