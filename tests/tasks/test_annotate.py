import numpy as np
import pytest
import torch

from scprint2.data.vocabulary import LabelVocabulary
from scprint2.tasks.annotate import AnnotateSettings, annotation, predict_cell_types
from scprint2.tasks.inference import Reader
from tests.tasks.example import B_CELL, CD4, T_CELL, make_cells

SETTINGS = AnnotateSettings(batch_size=16, cells=1000, max_genes=30)
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
