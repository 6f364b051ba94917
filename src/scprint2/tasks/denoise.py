"""Restoring counts that were taken away."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from pydantic import Field
from scipy import sparse
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.model.outputs import CellOutput
from scprint2.tasks.inference import Reader, add_neighbors, count_neighbors, run
from scprint2.tasks.layout import TRUE_MEAN
from scprint2.tasks.selection import DRAW_SEED, dense_counts, downsample_counts, draw_cells, variable_genes
from scprint2.training.checkpoint import PretrainedModel


class DenoiseSettings(Node):
    """How to make the noise (`removed` is r of eq. 19), on which cells and genes, and the depth to ask for.

    `depth_factor` is in depths of the noisy cell.
    """

    batch_size: int = Field(ge=1)
    removed: float = Field(gt=0, le=1)
    cells: int = Field(ge=2)
    genes: int = Field(ge=2)
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
    """Draw cells, take counts away, and choose the genes to score: the most variable ones before the noise."""
    chosen = adata[draw_cells(adata, settings.cells)].copy()
    genes = variable_genes(chosen, settings.genes)
    full = dense_counts(chosen)
    counts = downsample_counts(full, settings.removed, rng=np.random.default_rng(DRAW_SEED))
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


def predict_denoised(pretrained: PretrainedModel, adata: AnnData, *, settings: DenoiseSettings, seed: int) -> AnnData:
    """Write the expected counts, mean * (1 - sigmoid(zero_logit)), at a multiple of the noisy depth to `layers["denoised"]`.

    Neighbors, where the model reads them, are found among the noisy cells. The forward pass is deterministic; `seed` is here
    because baselines need one.
    """
    problem = prepare_denoising(adata, settings)
    if count_neighbors(pretrained):
        add_neighbors(problem.noisy, components=adata.obsm["X_pca"].shape[1])
    reader = Reader(pretrained, problem.noisy)

    def denoise(batch: CellBatch) -> Float[Tensor, "cell gene"]:
        output: CellOutput = pretrained.model(batch, depth=settings.depth_factor * batch.depth)
        expression = output.expression
        return expression.mean * torch.sigmoid(-expression.zero_logit)

    selector = reader.fixed(problem.prediction.var_names)
    parts = [part for _, part in run(reader, denoise, selector=selector, batch_size=settings.batch_size)]
    problem.prediction.layers["denoised"] = torch.cat(parts).cpu().numpy().astype(np.float32)
    return problem.prediction
