import numpy as np
import pytest

from scprint2.metrics.embedding import (
    BATCH,
    BIO,
    CLASSIC_BIO,
    OPEN_PROBLEMS_BATCH,
    SUMMARY,
    TOTALS,
    score_embedding,
    summarize_embedding,
)
from scprint2.metrics.score import Score
from tests.metrics.example import Example, make_example


def score(example: Example) -> dict[str, Score]:
    return score_embedding(example.embedding, labels=example.labels, batches=example.batches)


def get(scores: dict[str, Score], metric: str) -> float:
    value = scores[metric].value
    assert value is not None, scores[metric].reason
    return value


def test_the_total_is_60_percent_bio_and_40_percent_batch():
    scores = score(make_example(separation=1))
    bio, batch = (np.mean([get(scores, name) for name in names]) for names in (BIO, BATCH))
    assert get(scores, "scib_bio") == pytest.approx(100 * bio)
    assert get(scores, "scib_batch") == pytest.approx(100 * batch)
    assert get(scores, "scib_total") == pytest.approx(60 * bio + 40 * batch)
    assert all(0 <= get(scores, name) <= 1 for name in scores if name not in TOTALS)


def test_labels_that_lie_apart_beat_overlapping_ones_and_those_beat_random_vectors():
    apart, overlapping = score(make_example(separation=6)), score(make_example(separation=0.7))
    example = make_example(separation=1)
    noise = np.random.default_rng(1).normal(size=example.embedding.shape)
    random = score(Example(noise, example.labels, example.batches))
    for metric in ("scib_bio", "scib_total", "knn_label_purity"):
        assert get(apart, metric) > get(overlapping, metric) > get(random, metric)
    assert get(apart, "scib_bio") > 80
    assert get(random, "nmi_kmeans") < 0.1
    assert get(random, "bras") > 0.9  # random vectors mix batches: why the batch part alone says nothing


def test_the_same_cells_get_the_same_scores():
    example = make_example(separation=1)
    assert score(example) == score(example)


def test_the_names_of_labels_and_batches_do_not_matter():
    example = make_example(separation=3)
    renamed = Example(example.embedding, np.char.add("z", example.labels), np.char.add("z", example.batches))
    assert score(renamed) == score(example)


def test_shift_rotation_and_scale_leave_the_bio_part_alone():
    example = make_example(separation=3)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))
    moved = Example(7 * example.embedding.astype(float) @ turn + 3, example.labels, example.batches)
    for metric in BIO:
        assert get(score(moved), metric) == pytest.approx(get(score(example), metric), abs=1e-4)


def test_constant_and_broken_embeddings_fail_every_metric_with_the_reason():
    example = make_example(separation=1)
    scores = score(Example(np.ones((400, 3)), example.labels, example.batches))
    assert {entry.reason for entry in scores.values()} == {"all 400 cells have the same embedding"}
    example.embedding[3, 2] = np.nan
    assert {entry.reason for entry in score(example).values()} == {
        "the embedding holds 1 values that are not finite numbers"
    }


def test_one_batch_fails_the_batch_part_and_the_total_but_not_the_bio_part():
    example = make_example(separation=1)
    scores = score(Example(example.embedding, example.labels, np.full(400, "a")))
    assert scores["scib_bio"].status == "ok"
    assert "only one group, ['a']" in scores["scib_batch"].reason
    assert scores["scib_total"].value is None
    assert "ilisi" in scores["scib_total"].reason


def test_one_label_fails_the_total():
    example = make_example(separation=1)
    scores = score(Example(example.embedding, np.full(400, "T cell"), example.batches))
    assert "only one group, ['T cell']" in scores["scib_total"].reason


def test_too_few_cells_fail_the_total_with_what_is_needed():
    example = make_example(cells=60, separation=1)
    reason = score(example)["scib_total"].reason
    assert "60 cells have 60 neighbors" in reason
    assert "90 are needed" in reason


def test_lengths_that_differ_are_an_error():
    example = make_example(separation=1)
    import inspect

    with pytest.raises(ValueError, match="400 embeddings, 3 labels and 400 batches"):
        inspect.unwrap(score_embedding)(example.embedding, labels=example.labels[:3], batches=example.batches)


def test_open_problems_total_is_batch_and_one_and_a_half_times_bio_over_two_and_a_half():
    example = make_example(separation=1, batch_effect=1)
    before = make_example(separation=1, batch_effect=2).embedding
    groups = {"labels": example.labels, "batches": example.batches}
    scores = score_embedding(example.embedding, before=before, **groups)
    bio, batch = (np.mean([get(scores, name) for name in names]) for names in (CLASSIC_BIO, OPEN_PROBLEMS_BATCH))
    assert get(scores, "open_problems_total") == pytest.approx(100 * (batch + 1.5 * bio) / 2.5)
    assert not {"open_problems_total", "pcr_comparison"} & set(score_embedding(example.embedding, **groups))


def test_the_summary_is_the_part_of_the_scores_that_it_names():
    example = make_example(separation=1)
    whole = score(example)
    groups = {"labels": example.labels, "batches": example.batches}
    assert summarize_embedding(example.embedding, **groups) == {name: whole[name] for name in SUMMARY}
    constant = summarize_embedding(np.ones((400, 2)), **groups)
    assert {entry.reason for entry in constant.values()} == {"all 400 cells have the same embedding"}
