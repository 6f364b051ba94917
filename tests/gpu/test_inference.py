"""On a GPU: predictions of the tasks, in half precision, against those of the CPU."""

import copy

import numpy as np
import pytest
import torch

from scprint2.tasks.annotate import AnnotateSettings, predict_cell_types
from scprint2.tasks.denoise import predict_denoised
from scprint2.tasks.embed import EmbedSettings, predict_embedding
from scprint2.tasks.inference import inference_numerics
from scprint2.tasks.layout import PREDICTED, TERM, read_networks
from scprint2.tasks.networks import NetworkSettings, predict_networks
from scprint2.training.checkpoint import PretrainedModel
from tests.tasks.conftest import make_pretrained
from tests.tasks.example import ANNOTATE, DENOISE, make_cells

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

EMBED = EmbedSettings.model_validate({"batch_size": 16, "cells": 60, "max_genes": 30, "kinds": ["mean"]})
NETWORKS = NetworkSettings.model_validate(
    {
        "batch_size": 16, "genes": 40, "cells": 60, "minimum_cells": 5, "groups": "none", "regulator": "query",
        "trees": 1, "methods": ["mean_queries_keys", "mean_attention"],
    }
)  # fmt: skip
CALLED = f"{PREDICTED}_{TERM}"
ROWS = ["base", "softpick", "hyper", "xpressor", "gnn", "v2_small"]


def on_both(variant):
    """The same model on the CPU and on the GPU."""
    here = make_pretrained(variant)
    there = PretrainedModel(copy.deepcopy(here.model).to("cuda"), here.genes, here.labels, here.experiment, {})
    return here, there


def correlation(one, other):
    return np.corrcoef(np.asarray(one, float).ravel(), np.asarray(other, float).ravel())[0, 1]


def embed_on_both(variant):
    results = [predict_embedding(model, make_cells(), settings=EMBED, seed=0) for model in on_both(variant)]
    return [result.obsm["X_scprint2"] for result in results]


@pytest.mark.parametrize("variant", [variant for variant in ROWS if variant != "hyper"])
def test_embeddings_are_those_of_the_cpu(variant):
    one, other = embed_on_both(variant)
    np.testing.assert_allclose(other, one, atol=0.05 * np.abs(one).max())


def test_embeddings_of_hashed_tokens_are_near_those_of_the_cpu():
    """Half precision changes the side of a plane here and there, and a token meets others."""
    assert correlation(*embed_on_both("hyper")) > 0.98


@pytest.mark.parametrize("variant", ROWS)
def test_denoised_counts_are_those_of_the_cpu(variant):
    one, other = (
        predict_denoised(model, make_cells(), settings=DENOISE, seed=0).layers["denoised"] for model in on_both(variant)
    )
    np.testing.assert_allclose(other, one, atol=0.05 * np.abs(one).max())


@pytest.mark.parametrize("variant", ["base", "xpressor"])
def test_networks_are_those_of_the_cpu(variant):
    results = [predict_networks(model, make_cells(), settings=NETWORKS, seed=0) for model in on_both(variant)]
    for one, other in zip(*(list(read_networks(result)) for result in results), strict=True):
        assert one[:2] == other[:2]
        assert correlation(*(part[2].varp["GRN"] for part in (one, other))) > 0.99


def test_cell_types_are_called_on_the_gpu():
    settings = AnnotateSettings.model_validate(ANNOTATE)
    one, other = (predict_cell_types(model, make_cells(), settings=settings, seed=0) for model in on_both("base"))
    assert (one.obs[CALLED].astype(str) == other.obs[CALLED].astype(str)).mean() > 0.95


def test_inference_is_in_half_precision():
    assert inference_numerics(torch.device("cuda")).precision == "bf16"
