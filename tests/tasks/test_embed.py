import numpy as np
import pytest
import torch

from scprint2.tasks.embed import EmbedSettings, pool_tokens, predict_embedding


def settings(**changes):
    return EmbedSettings.model_validate(
        {"batch_size": 16, "cells": 1000, "max_genes": 30, "token": "cell_type"} | changes
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


def test_the_cell_type_token_is_the_one_of_that_class_and_mean_is_over_all():
    tokens = torch.arange(12.0).reshape(1, 3, 4)
    assert pool_tokens(tokens, classes=("tissue", "cell_type"), token="cell_type").tolist() == [[4, 5, 6, 7]]
    assert pool_tokens(tokens, classes=("tissue", "cell_type"), token="mean").tolist() == [[4, 5, 6, 7]]
    with pytest.raises(ValueError, match="known: \\['mean', 'tissue'\\]"):
        pool_tokens(tokens, classes=("tissue",), token="cell_type")
