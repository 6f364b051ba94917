import numpy as np
import pytest
import torch

from scprint2.tasks.embed import EmbedSettings, list_kinds, pool_tokens, predict_embedding


def settings(**changes):
    return EmbedSettings.model_validate(
        {"batch_size": 16, "cells": 1000, "max_genes": 30, "kinds": ("cell_type",)} | changes
    )


def test_the_prediction_has_the_agreed_layout(pretrained, cells):
    prediction = predict_embedding(pretrained, cells, settings=settings(cells=25), seed=0)
    assert prediction.obsm["X_scprint2"].shape == (25, pretrained.experiment.model.dim)
    assert list(prediction.obs["label"]) == list(cells[prediction.obs_names].obs["cell_type_ontology_term_id"])
    assert list(prediction.obs["batch"]) == list(cells[prediction.obs_names].obs["batch"])
    assert np.isfinite(prediction.obsm["X_scprint2"]).all()


def test_the_input_is_left_as_it_was(pretrained, cells):
    before = cells.copy()
    predict_embedding(pretrained, cells, settings=settings(), seed=0)
    assert (before.X != cells.X).nnz == 0
    assert list(before.obs) == list(cells.obs)


def test_a_kind_is_the_embedding_of_that_class_the_free_one_or_one_made_of_all():
    tokens, classes = torch.arange(12.0).reshape(1, 3, 4), ("tissue", "cell_type")
    assert pool_tokens(tokens, classes=classes, kind="cell_type").tolist() == [[4, 5, 6, 7]]
    assert pool_tokens(tokens, classes=classes, kind="free").tolist() == [[8, 9, 10, 11]]
    assert pool_tokens(tokens, classes=classes, kind="mean").tolist() == [[4, 5, 6, 7]]
    assert pool_tokens(tokens, classes=classes, kind="all").tolist() == [list(range(12))]
    with pytest.raises(
        ValueError, match=r"no embedding for 'sex'; known: \['all', 'each', 'mean', 'tissue', 'cell_type'"
    ):
        pool_tokens(tokens, classes=classes, kind="sex")


def test_each_stands_for_every_class_and_no_kind_comes_twice():
    kinds = list_kinds(("cell_type", "all", "each"), classes=("tissue", "cell_type"))
    assert kinds == ["cell_type", "all", "tissue", "free"]


def test_every_kind_comes_from_one_pass_and_is_of_the_same_cells(pretrained, cells):
    both = predict_embedding(pretrained, cells, settings=settings(kinds=("cell_type", "each")), seed=0)
    classes = pretrained.labels.classes
    names = {f"X_scprint2_{kind}" for kind in (*classes, "free") if kind != "cell_type"}
    assert set(both.obsm) == names | {"X_scprint2", "X_pca"}
    sex = predict_embedding(pretrained, cells, settings=settings(kinds=("sex",)), seed=0)
    np.testing.assert_array_equal(both.obsm["X_scprint2_sex"], sex.obsm["X_scprint2"])
    np.testing.assert_array_equal(both.obsm["X_pca"], cells[both.obs_names].obsm["X_pca"])
