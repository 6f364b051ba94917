"""scVI, a variational autoencoder that is trained on the test cells themselves."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float
from scipy import sparse

from scprint2.baselines.optional import require

LAYERS, LATENT = 2, 30  # scIB's settings


def fit_scvi(counts: Float[np.ndarray, "cell gene"], *, batch: pd.Series | None, seed: int) -> Any:
    """Train scVI on counts for as many epochs as scvi-tools proposes (400, fewer above 20,000 cells).

    It runs on the CPU, as its cost is booked. `batch` is given to the decoder, so that the latent space need not hold it.

    Raises
    ------
    ValueError
        If scvi-tools is not installed.
    """
    scvi = require("scvi", package="scvi-tools")
    scvi.settings.seed = seed
    cells = AnnData(sparse.csr_matrix(counts, dtype=np.float32))
    cells.obs["batch"] = "all" if batch is None else batch.astype(str).to_numpy()
    scvi.model.SCVI.setup_anndata(cells, batch_key="batch")
    model = scvi.model.SCVI(cells, n_layers=LAYERS, n_latent=LATENT)
    model.train(accelerator="cpu", enable_progress_bar=False, logger=False, enable_checkpointing=False)
    return model
