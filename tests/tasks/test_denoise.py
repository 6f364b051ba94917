import numpy as np
import pytest
import torch
from scipy import sparse

from scprint2.tasks.denoise import Given, predict_denoised, prepare_denoising, requested_depths
from scprint2.tasks.inference import Reader
from scprint2.tasks.selection import dense_counts
from tests.tasks.example import DENOISE
from tests.tasks.test_inference import with_neighbors

SETTINGS = DENOISE


def test_everybody_gets_the_same_noise(cells):
    first, second = prepare_denoising(cells, SETTINGS), prepare_denoising(cells, SETTINGS)
    np.testing.assert_array_equal(dense_counts(first.noisy), dense_counts(second.noisy))
    assert first.prediction.shape == (40, 30)


def test_the_layers_belong_to_the_cells_and_genes_of_the_prediction(cells):
    problem = prepare_denoising(cells, SETTINGS)
    prediction = problem.prediction
    same = cells[prediction.obs_names, prediction.var_names]
    np.testing.assert_array_equal(dense_counts(prediction), dense_counts(same))
    np.testing.assert_array_equal(prediction.layers["true_mean"], same.layers["true_mean"])
    np.testing.assert_array_equal(
        dense_counts(prediction, "noisy"), dense_counts(problem.noisy[prediction.obs_names, prediction.var_names])
    )
    assert (dense_counts(prediction, "noisy") <= dense_counts(prediction)).all()
    np.testing.assert_array_equal(prediction.obs["noisy_depth"], dense_counts(problem.noisy).sum(1))


def test_the_denoised_values_are_the_expected_counts_at_five_times_the_noisy_depth(pretrained, cells):
    prediction = predict_denoised(pretrained, cells, settings=SETTINGS, seed=0)
    problem = prepare_denoising(cells, SETTINGS)
    reader = Reader(pretrained, problem.noisy)
    batch = reader.batch(np.arange(40), reader.fixed(prediction.var_names))
    np.testing.assert_array_equal(batch.counts.numpy(), dense_counts(prediction, "noisy"))
    with torch.inference_mode():
        expression = pretrained.model(batch, depth=5 * batch.depth).expression
    expected = expression.mean * (1 - expression.zero_logit.sigmoid())
    np.testing.assert_allclose(prediction.layers["denoised"], expected.numpy(), rtol=1e-4)
    np.testing.assert_allclose(prediction.layers["denoised_uninflated"], expression.mean.numpy(), rtol=1e-4)
    assert (prediction.layers["denoised_uninflated"] > prediction.layers["denoised"]).all()


def test_neighbors_are_found_among_the_noisy_cells(pretrained, cells):
    model = with_neighbors(pretrained, 3)
    seen = []
    handle = model.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    predict_denoised(model, replace_pca(cells), settings=SETTINGS, seed=0)
    handle.remove()
    noisy = dense_counts(prepare_denoising(cells, SETTINGS).prediction, "noisy")
    rows = {tuple(row) for row in noisy.astype(int).tolist()}
    neighbors = torch.cat([batch.neighbor_counts for batch in seen]).flatten(0, 1)
    assert all(tuple(row) in rows for row in neighbors.int().tolist())


def replace_pca(cells):
    cells.obsm["X_pca"] = np.zeros((cells.n_obs, 8), dtype=np.float32)
    return cells


def test_without_true_means_there_is_no_such_layer(cells):
    del cells.layers["true_mean"]
    assert "true_mean" not in prepare_denoising(cells, replace_settings(cells=10)).prediction.layers


def replace_settings(**changes):
    return SETTINGS.model_copy(update=changes)


@pytest.mark.parametrize(("depth_of", "depth_factor"), [("noisy", 5), ("median", 2), ("full", 1)])
def test_each_cell_is_asked_for_the_depth_that_the_settings_name(pretrained, cells, depth_of, depth_factor):
    settings = replace_settings(depth_of=depth_of, depth_factor=depth_factor, batch_size=7)
    seen = []
    handle = pretrained.model.register_forward_pre_hook(
        lambda module, inputs, keywords: seen.append(keywords["depth"]), with_kwargs=True
    )
    predict_denoised(pretrained, cells, settings=settings, seed=0)
    handle.remove()
    problem = prepare_denoising(cells, settings)
    counts = dense_counts(problem.noisy).sum(1)
    full = dense_counts(cells[problem.noisy.obs_names]).sum(1)
    expected = {"noisy": 5 * counts, "median": np.full(40, 2 * np.median(counts)), "full": full}[depth_of]
    np.testing.assert_allclose(torch.cat(seen).numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(requested_depths(problem, settings), expected, rtol=1e-6)


def test_noise_that_is_in_the_dataset_is_taken_as_it_is(cells):
    cells.layers["reference"] = sparse.csr_matrix(dense_counts(cells) + 3)
    settings = replace_settings(noise=Given(kind="given", layer="reference"))
    prediction = prepare_denoising(cells, settings).prediction
    same = cells[prediction.obs_names, prediction.var_names]
    np.testing.assert_array_equal(dense_counts(prediction, "noisy"), dense_counts(same))
    np.testing.assert_array_equal(dense_counts(prediction), dense_counts(same) + 3)
    np.testing.assert_array_equal(prediction.obs["depth"], prediction.obs["noisy_depth"] + 3 * cells.n_vars)


def test_noise_that_is_not_there_is_named(cells):
    settings = replace_settings(noise=Given(kind="given", layer="reference"))
    with pytest.raises(ValueError, match=r"no layer 'reference'.*it has \['true_mean'\]"):
        prepare_denoising(cells, settings)
