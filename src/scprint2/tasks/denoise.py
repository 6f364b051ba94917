"""Restoring counts that were taken away."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float, Int
from pydantic import Field
from scipy import sparse
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.context import Selector
from scprint2.model.outputs import CellOutput
from scprint2.tasks.inference import Reader, add_neighbors, count_neighbors, run_rows
from scprint2.tasks.layout import DENOISED, TRUE_MEAN, UNINFLATED
from scprint2.tasks.selection import DRAW_SEED, dense_counts, downsample_counts, draw_cells, variable_genes
from scprint2.training.checkpoint import PretrainedModel


class Downsampled(Node):
    """Noise of ours: counts are taken away by eq. 19, of which `removed` is r."""

    kind: Literal["downsampled"]
    removed: float = Field(gt=0, le=1)


class Given(Node):
    """Noise that is in the dataset: X is the noisy profile, a layer has the full one."""

    kind: Literal["given"]
    layer: str


class DenoiseSettings(Node):
    """Where the noise comes from, which cells and genes are scored, and the depth to ask for.

    A model is asked for `depth_factor` times a depth: the cell's own after the noise (`noisy`), the median of these, which is
    one depth for all cells (`median`), or the cell's before the noise (`full`), which only a benchmark knows.
    """

    batch_size: int = Field(ge=1)
    noise: Downsampled | Given = Field(discriminator="kind")
    cells: int = Field(ge=2)
    genes: int = Field(ge=2)
    depth_of: Literal["noisy", "median", "full"]
    depth_factor: float = Field(gt=0)


@dataclass(frozen=True)
class DenoisingProblem:
    """What a method sees, and what it is scored on.

    Attributes
    ----------
    noisy
        The drawn cells after the noise, with all genes, as X.
    prediction
        The same cells on the scored genes: full counts as X, `layers["noisy"]`, and `layers["true_mean"]` where it is known.
    """

    noisy: AnnData
    prediction: AnnData


def prepare_denoising(adata: AnnData, settings: DenoiseSettings) -> DenoisingProblem:
    """Draw cells, make or take their noise, and choose the genes to score: the most variable ones before the noise.

    Raises
    ------
    ValueError
        If the dataset has no layer of the name that the settings give.
    """
    chosen = adata[draw_cells(adata, settings.cells)].copy()
    full, counts = _profiles(chosen, settings.noise)
    chosen.X = sparse.csr_matrix(full)
    genes = variable_genes(chosen, settings.genes)
    obs = pd.DataFrame({"depth": full.sum(axis=1), "noisy_depth": counts.sum(axis=1)}, index=chosen.obs_names)
    obs["organism_ontology_term_id"] = chosen.obs["organism_ontology_term_id"]
    noisy = AnnData(X=sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=chosen.var_names))
    prediction = AnnData(
        X=sparse.csr_matrix(full[:, genes]), obs=obs.copy(), var=pd.DataFrame(index=chosen.var_names[genes])
    )
    prediction.layers["noisy"] = sparse.csr_matrix(counts[:, genes])
    if TRUE_MEAN in chosen.layers:
        prediction.layers[TRUE_MEAN] = dense_counts(chosen, TRUE_MEAN)[:, genes]
    return DenoisingProblem(noisy, prediction)


def _profiles(chosen: AnnData, noise: Downsampled | Given) -> tuple[np.ndarray, np.ndarray]:
    """Full and noisy counts of the chosen cells."""
    if isinstance(noise, Downsampled):
        full = dense_counts(chosen)
        return full, downsample_counts(full, noise.removed, rng=np.random.default_rng(DRAW_SEED))
    if noise.layer not in chosen.layers:
        raise ValueError(
            f"the dataset has no layer {noise.layer!r} with the profiles before the noise; it has {sorted(chosen.layers)}. "
            "Name it in the column `layers` of the registry of datasets"
        )
    return dense_counts(chosen, noise.layer), dense_counts(chosen)


def requested_depths(problem: DenoisingProblem, settings: DenoiseSettings) -> Float[np.ndarray, " cell"]:
    """Depth that a model is asked for, of each cell."""
    noisy, full = (problem.noisy.obs[name].to_numpy(dtype=np.float32) for name in ("noisy_depth", "depth"))
    known = {"noisy": noisy, "median": np.full_like(noisy, np.median(noisy)), "full": full}
    return (settings.depth_factor * known[settings.depth_of]).astype(np.float32)


def predict_denoised(pretrained: PretrainedModel, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Write the expected counts at the requested depth, mean * (1 - sigmoid(zero_logit)), to `layers["denoised"]`.

    `layers["denoised_uninflated"]` has the mean alone, as if no zero came from the zero inflation. Neighbors, where the model
    reads them, are found among the noisy cells. The forward pass is deterministic; `seed` is here because baselines need one.
    """
    problem = prepare_denoising(adata, settings)
    if count_neighbors(pretrained):
        add_neighbors(problem.noisy, components=adata.obsm["X_pca"].shape[1])
    reader = Reader(pretrained, problem.noisy)
    expected, uninflated = denoise_cells(
        reader,
        depths=requested_depths(problem, settings),
        selector=reader.fixed(problem.prediction.var_names),
        batch_size=settings.batch_size,
    )
    problem.prediction.layers[DENOISED], problem.prediction.layers[UNINFLATED] = expected, uninflated
    return problem.prediction


def denoise_cells(
    reader: Reader, *, depths: Float[np.ndarray, " cell"], selector: Selector, batch_size: int
) -> Float[np.ndarray, "readout cell gene"]:
    """Return the expected counts of cells at some depths, with and without the zero probability, on the genes of `selector`.

    Parameters
    ----------
    depths
        Of each row of the dataset.
    """
    requested = torch.from_numpy(depths).to(reader.device)

    def denoise(rows: Int[np.ndarray, " cell"], batch: CellBatch) -> Float[Tensor, "readout cell gene"]:
        output: CellOutput = reader.pretrained.model(batch, depth=requested[rows])
        expression = output.expression
        return torch.stack([expression.mean * torch.sigmoid(-expression.zero_logit), expression.mean])

    parts = [part.cpu() for _, part in run_rows(reader, denoise, selector=selector, batch_size=batch_size)]
    return torch.cat(parts, dim=1).numpy().astype(np.float32)
