"""Predictions on disk: one h5ad per task and dataset, written whole or not at all, its rows known by their cell ids."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from anndata import AnnData

from scprint2.files import atomic_path

FORMAT = 1


def write_prediction(path: Path, prediction: AnnData, *, about: Mapping[str, Any]) -> None:
    """Write a prediction with what it is about (task, dataset, variant, seed, settings ...) in `uns["scprint2"]`.

    Raises
    ------
    ValueError
        If two rows have one cell id.
    """
    if not prediction.obs_names.is_unique:
        raise ValueError(
            f"{path}: {_repeated(prediction)} cell ids occur more than once; a prediction needs unique ids"
        )
    prediction.uns["scprint2"] = json.dumps({**about, "format": FORMAT, "cells_sha256": hash_cells(prediction)})
    with atomic_path(path) as temporary:
        prediction.write_h5ad(temporary)


def read_prediction(path: Path) -> AnnData:
    """Read a prediction; `about(prediction)` says what it is.

    Raises
    ------
    ValueError
        If the file is no prediction of this version, or its rows are not the rows that were written.
    """
    prediction = anndata.read_h5ad(path)
    if "scprint2" not in prediction.uns:
        raise ValueError(f"{path}: no uns['scprint2']; expected a file written by `scprint2 predict`")
    written = about(prediction)
    if written.get("format") != FORMAT:
        raise ValueError(f"{path}: format {written.get('format')!r}, expected {FORMAT}; predict again")
    if written["cells_sha256"] != hash_cells(prediction):
        raise ValueError(f"{path}: the cell ids are not those that were predicted, rows may have moved; predict again")
    return prediction


def about(prediction: AnnData) -> dict[str, Any]:
    """Return what a prediction is about, as it was given to `write_prediction`."""
    return json.loads(prediction.uns["scprint2"])


def align(prediction: AnnData, cells: AnnData) -> AnnData:
    """Return the cells of a prediction from another AnnData, row by row by cell id.

    Raises
    ------
    ValueError
        If a predicted cell is not there, or a cell id occurs twice on either side.
    """
    for name, side in (("prediction", prediction), ("dataset", cells)):
        if not side.obs_names.is_unique:
            twice = list(side.obs_names[side.obs_names.duplicated()].unique()[:3])
            raise ValueError(
                f"{_repeated(side)} cell ids of the {name} occur more than once, such as {twice}: which row is meant cannot be "
                "told. Make them unique before predicting (anndata's obs_names_make_unique), and predict again"
            )
    rows = cells.obs_names.get_indexer(prediction.obs_names)
    if (rows < 0).any():
        missing = prediction.obs_names[rows < 0]
        raise ValueError(
            f"{len(missing)} of {prediction.n_obs} predicted cells are not in the dataset, such as {list(missing[:3])}; "
            "predict again on this dataset"
        )
    return cells[rows]


def hash_cells(adata: AnnData) -> str:
    """sha256 of the cell ids in order."""
    return hashlib.sha256("\n".join(adata.obs_names).encode()).hexdigest()


def _repeated(adata: AnnData) -> int:
    return int(np.sum(adata.obs_names.duplicated()))
