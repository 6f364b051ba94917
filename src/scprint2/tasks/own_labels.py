"""Labels and domains of one's own cells, as a model counts them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Int

from scprint2.data.labels import resolve
from scprint2.data.ontology import UNKNOWN_TERM, ancestors
from scprint2.data.vocabulary import UNKNOWN, LabelTable
from scprint2.training.checkpoint import PretrainedModel


def encode_labels(
    pretrained: PretrainedModel, adata: AnnData, labels: Mapping[str, str]
) -> tuple[Int[np.ndarray, "cell label"], pd.DataFrame]:
    """Find the code of each cell in each class of a model, and say for each label of the cells what it stands for.

    Returns
    -------
    Codes in the order of the model's classes, -1 where a label is not known or a class is not given; and a table with the
    columns class, label, term, counts_as and cells.

    Raises
    ------
    ValueError
        If a class or a column is missing, or not one label of a class is known.
    """
    predicted = [table.name for table in pretrained.labels.tables if table.leaves]
    codes = np.full((adata.n_obs, len(pretrained.labels.classes)), UNKNOWN, dtype=np.int16)
    reports = []
    for name, column in labels.items():
        if name not in predicted:
            raise ValueError(f"the model predicts no {name!r}; it predicts {predicted}.")
        if column not in adata.obs:
            raise ValueError(
                f"obs has no column {column!r} with labels of {name}; it has {sorted(adata.obs.columns)[:20]}."
            )
        given = pd.Series(adata.obs[column].astype(object).where(adata.obs[column].notna(), UNKNOWN_TERM)).astype(str)
        table = pretrained.labels[name]
        found = {value: resolve(name, value).term for value in given.unique()}
        known = {value: nearest_label(table, term) for value, term in found.items()}
        codes[:, pretrained.labels.classes.index(name)] = table.encode(known[value] for value in given)
        cells = given.value_counts()
        names = [str(value) for value in cells.index]
        report = pd.DataFrame(
            {
                "class": name,
                "label": names,
                "term": [found[value] for value in names],
                "counts_as": [known[value] for value in names],
                "cells": cells.to_numpy(),
            }
        )
        if (report["counts_as"] == UNKNOWN_TERM).all():
            raise ValueError(
                f"the model knows not one label of obs[{column!r}], such as {report['label'].tolist()[:3]}; it knows "
                f"{len(table.leaves)} of {name}, such as {list(table.names.values())[:3]}. Use names or ids of its ontology."
            )
        reports.append(report)
    if not reports:
        raise ValueError(f"no labels are given; name a column for one of {predicted}.")
    return codes, pd.concat(reports, ignore_index=True)


def nearest_label(table: LabelTable, term: str) -> str:
    """Return the term if the table has it, else its most specific ancestor there, else "unknown"."""
    if term in table.codes:
        return term
    above = [ancestor for ancestor in ancestors(term) if ancestor in table.codes]
    return max(sorted(above), key=lambda one: len(ancestors(one)), default=UNKNOWN_TERM)


def encode_domains(adata: AnnData, key: str | None) -> Int[np.ndarray, " cell"] | None:
    """Number the domains of cells, -1 where none is given.

    Raises
    ------
    ValueError
        If the column is missing, or names fewer than two domains.
    """
    if key is None:
        return None
    if key not in adata.obs:
        raise ValueError(f"obs has no column {key!r} with domains; it has {sorted(adata.obs.columns)[:20]}.")
    codes, names = pd.factorize(adata.obs[key], sort=True)
    if len(names) < 2:
        raise ValueError(f"obs[{key!r}] names {len(names)} domain; to make domains alike takes two.")
    return codes.astype(np.int64)
