"""Rows are known by their cell ids: what moves with them changes nothing, what moves without them is refused."""

import anndata
import numpy as np
import pytest
from anndata import AnnData

from scprint2.tasks.examples import EXAMPLES, shuffle_rows
from scprint2.tasks.predictions import align, read_prediction, write_prediction
from scprint2.tasks.scores import score_prediction


@pytest.mark.parametrize("task", ["denoise", "annotate"])
def test_a_prediction_written_in_another_order_of_rows_gets_the_same_scores(task, tmp_path):
    example = EXAMPLES[task]("ordinary")
    paths = tmp_path / "a.h5ad", tmp_path / "b.h5ad"
    for path, prediction in zip(paths, (example, shuffle_rows(example, seed=3)), strict=True):
        write_prediction(path, prediction, about={"task": task, "dataset": "x"})
    first, second = (score_prediction(path)[1] for path in paths)
    assert first.keys() == second.keys()
    for metric, score in first.items():
        assert second[metric].value == pytest.approx(score.value, abs=1e-9), metric


def test_cell_ids_that_moved_without_their_rows_are_refused(tmp_path):
    write_prediction(tmp_path / "x.h5ad", EXAMPLES["annotate"]("ordinary"), about={"task": "annotate", "dataset": "x"})
    moved = anndata.read_h5ad(tmp_path / "x.h5ad")
    moved.obs_names = np.roll(moved.obs_names.to_numpy(), 1)
    moved.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(ValueError, match="rows may have moved"):
        read_prediction(tmp_path / "x.h5ad")


def test_truth_is_found_by_cell_id_in_any_order():
    cells = EXAMPLES["embed"]("ordinary")
    prediction = shuffle_rows(cells, seed=1)[:50]
    assert (align(prediction, cells).obs["label"] == prediction.obs["label"]).all()


def test_duplicate_and_missing_cells_are_refused_by_name():
    cells = EXAMPLES["embed"]("ordinary")
    twice = AnnData(obs=cells.obs.set_axis(["cell 1", *cells.obs_names[1:]]))
    with pytest.raises(ValueError, match=r"1 cell ids of the dataset occur more than once, such as \['cell 1'\]"):
        align(cells, twice)
    with pytest.raises(ValueError, match="of the prediction occur more than once"):
        align(twice, cells)
    with pytest.raises(ValueError, match=r"290 of 300 predicted cells are not in the dataset, such as \['cell 10'"):
        align(cells, cells[:10])
