import numpy as np
import pytest
import torch

from scprint2.data.vocabulary import LabelVocabulary
from scprint2.tasks.annotate import AnnotateSettings, Evidence, annotation, answer, predict_cell_types
from scprint2.tasks.inference import Reader
from scprint2.tasks.predictions import read_prediction, write_prediction
from scprint2.tasks.report import annotation_calls
from scprint2.tasks.scores import annotation_scores
from tests.tasks.example import ANNOTATE, B_CELL, CD4, T_CELL, make_cells

SETTINGS = AnnotateSettings.model_validate(ANNOTATE)
TERM = "cell_type_ontology_term_id"


def test_the_call_is_the_leaf_with_the_largest_logit_and_its_sigmoid_the_confidence(pretrained, cells):
    prediction = predict_cell_types(pretrained, cells, settings=SETTINGS, seed=0)
    reader = Reader(pretrained, cells)
    with torch.inference_mode():
        logits = pretrained.model(reader.batch(np.arange(cells.n_obs), reader.top_expressed(30))).logits["cell_type"]
    expected = np.array([CD4, B_CELL])[logits.argmax(1)]
    np.testing.assert_array_equal(prediction.obs[f"predicted_{TERM}"], expected)
    np.testing.assert_allclose(prediction.obs["confidence"], logits.max(1).values.sigmoid(), atol=1e-5)
    assert prediction.obs[f"predicted_{TERM}"].dtype == "category"
    np.testing.assert_array_equal(prediction.obs[TERM], cells.obs[TERM])


def test_the_terms_come_with_their_ancestors_and_names(cells):
    called = np.full(cells.n_obs, CD4)
    prediction = annotation(cells, called, confidence=np.ones(cells.n_obs, dtype=np.float32), known=[CD4, B_CELL])
    assert T_CELL in prediction.uns["ancestors"][CD4].split("|")
    assert prediction.uns["names"][B_CELL] == "B cell"


@pytest.mark.parametrize(
    ("types", "known", "share"),
    [
        ((CD4, B_CELL), [CD4, B_CELL], 1.0),
        ((CD4, B_CELL), [CD4], 0.5),
        ((T_CELL, B_CELL), [CD4], 0.5),  # a descendant of the truth answers it
        ((CD4, B_CELL), [T_CELL], 0.0),  # an ancestor does not
    ],
)
def test_answerable_counts_the_cells_that_the_known_types_can_get_right(types, known, share):
    cells = make_cells(types=types, unknown=10)
    called = np.full(cells.n_obs, known[0])
    prediction = annotation(cells, called, confidence=np.ones(cells.n_obs, dtype=np.float32), known=known)
    assert prediction.uns["answerable"] == share


def test_a_model_without_cell_types_says_so(pretrained, cells):
    from dataclasses import replace

    blind = replace(pretrained, labels=LabelVocabulary(pretrained.labels.tables[1:]))
    with pytest.raises(ValueError, match="not cell_type"):
        predict_cell_types(blind, cells, settings=SETTINGS, seed=0)


def two_types(cells, *, wrong):
    """Evidence of two groups of cells in an embedding, of which some have the other group's logits."""
    first = np.arange(cells.n_obs) % 2 == 0
    rng = np.random.default_rng(0)
    embedding = np.where(first[:, None], 5, -5) + rng.normal(size=(cells.n_obs, 4))
    likely = np.where(np.isin(np.arange(cells.n_obs), wrong), ~first, first)
    logits = np.where(np.stack([likely, ~likely], axis=1), 1.0, -1.0)
    return Evidence((CD4, B_CELL), logits.astype(np.float32), embedding.astype(np.float32))


def test_refined_calls_put_lone_cells_right_and_the_plain_calls_stay(cells):
    evidence = two_types(cells, wrong=[0, 1, 2])
    scores = annotation_scores(answer(cells, evidence, settings=SETTINGS))
    assert scores["accuracy"].value == pytest.approx(95)  # 57 of 60
    assert scores["accuracy_smoothed"].value == scores["accuracy_cluster_mean"].value == 100
    assert scores["accuracy_cluster_max"].value == 50, "a maximum over cells takes any confident mistake for both types"


def test_every_answer_survives_the_file_and_scores_the_same(cells, tmp_path):
    prediction = answer(cells, two_types(cells, wrong=[0]), settings=SETTINGS)
    write_prediction(tmp_path / "x.h5ad", prediction, about={"task": "annotate", "dataset": "x"})
    read = read_prediction(tmp_path / "x.h5ad")
    assert annotation_scores(read) == annotation_scores(prediction)
    assert list(read.uns["leaves"]) == [CD4, B_CELL]
    assert read.obsm["logits"].dtype == np.float16
    np.testing.assert_array_equal(read.obsm["candidates"][0], [1, 0])
    assert read.obs["smoothed_cell_type"].iloc[0] == "CD4-positive, alpha-beta T cell"


def test_rivals_are_answered_by_their_common_parent_with_its_name(cells):
    logits = np.tile(np.array([[1.0, 0.9]], dtype=np.float32), (cells.n_obs, 1))
    prediction = answer(cells, Evidence((CD4, B_CELL), logits, None), settings=SETTINGS)
    assert set(prediction.obs["shared_parent_cell_type"]) == {"lymphocyte"}
    scores = annotation_scores(prediction)
    assert scores["accuracy_shared_parent"].value == 100
    assert scores["information_shared_parent"].value == 0  # it excludes none of the two types


def test_cells_of_low_confidence_are_called_unknown_and_show_in_the_coverage(cells):
    logits = np.where(np.arange(60)[:, None] < 15, [[-2.0, -3.0]], [[3.0, -3.0]]).astype(np.float32)
    settings = SETTINGS.model_copy(update={"least_confidence": 0.5})
    prediction = answer(cells, Evidence((CD4, B_CELL), logits, None), settings=settings)
    assert (prediction.obs["predicted_cell_type"][:15] == "unknown").all()
    assert annotation_scores(prediction)["coverage"].value == 75
    assert len(annotation_calls(prediction).right) == 45, "figures show what is scored"


def test_a_refinement_cannot_take_the_name_of_another_answer():
    smooth = ANNOTATE["refinements"]["smoothed"]
    with pytest.raises(ValueError, match=r"cannot be called \['predicted'\]"):
        AnnotateSettings.model_validate(ANNOTATE | {"refinements": {"predicted": smooth}})


def test_an_untrained_model_scores_every_metric(pretrained, cells):
    scores = annotation_scores(predict_cell_types(pretrained, cells, settings=SETTINGS, seed=0))
    assert {score.status for score in scores.values()} == {"ok"}
    assert scores["accuracy_top_5"].value == 100, "it knows two types, and lists both"
