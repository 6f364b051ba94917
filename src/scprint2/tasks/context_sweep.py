"""How well labels are predicted from few and from many genes (figure 2d)."""

import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Int
from pydantic import Field
from scipy import sparse

from scprint2.config.node import Node
from scprint2.config.tasks import CONTROLS
from scprint2.data import ontology
from scprint2.metrics.annotation import expected_accuracy, is_known, score_annotation
from scprint2.tasks.annotate import Evidence, classify_cells
from scprint2.tasks.answers import call_best
from scprint2.tasks.inference import Reader
from scprint2.tasks.refinement import CellGraph, SmoothConfig
from scprint2.tasks.selection import draw_cells
from scprint2.training.checkpoint import PretrainedModel

COLUMNS = ("label", "genes", "group", "calls", "cells", "majority", *CONTROLS, "accuracy", "status", "reason")
ALL, DEEP = "all", "deep"
SINGLE, SMOOTHED = "single", "smoothed"


class ContextSweepSettings(Node):
    """Numbers of genes in context, most expressed first; how many cells at most; how the second calls are smoothed."""

    batch_size: int = Field(ge=1)
    cells: int = Field(ge=1)
    lengths: tuple[int, ...] = Field(min_length=1)
    smoothing: SmoothConfig


def sweep_context(pretrained: PretrainedModel, adata: AnnData, *, settings: ContextSweepSettings) -> pd.DataFrame:
    """Predict every label that the model and the dataset have, from each number of genes.

    Returns one line per label, number of genes, group of cells and kind of calls, with the columns `COLUMNS`. `group`: `all`
    cells, where genes that a cell does not express fill its context, or `deep`, the cells that express so many genes, as in
    figure 2d; the deep cells of one number are others than those of the next. `calls`: of `single` cells, or `smoothed` (its
    star), over the cells of the group. `accuracy` is that of the task `annotate`, in percent, `majority` that of calling all
    cells what most of them are, `random` that of values drawn from those the model knows and `shuffled` that of its own calls
    dealt to other cells, both as expected values. What cannot be computed has the status `failed` and a reason.

    Source: Methods, "Classification task"; figure 2d.
    """
    chosen = adata[draw_cells(adata, settings.cells)]
    rows = adata.obs_names.get_indexer(chosen.obs_names)
    reader = Reader(pretrained, adata, rows=rows)
    expressed = sparse.csr_matrix(chosen.X).getnnz(axis=1)
    labels = [name for name in pretrained.labels.classes if f"{name}_ontology_term_id" in chosen.obs]
    truths = {name: chosen.obs[f"{name}_ontology_term_id"].to_numpy(dtype=str) for name in labels}
    truths = {name: truth for name, truth in truths.items() if is_known(truth).any()}
    lines = []
    for length in settings.lengths:
        groups = {ALL: np.arange(chosen.n_obs), DEEP: np.flatnonzero(expressed >= length)}
        if length > adata.n_vars:
            lines += [_fail(name, length, f"the dataset has {adata.n_vars} genes") for name in truths]
            continue
        selector = reader.top_expressed(length)
        found = classify_cells(reader, list(truths), selector=selector, batch_size=settings.batch_size)
        for name, truth in truths.items():
            for group, cells in groups.items():
                scored = _score(found[name], truth, cells, smoothing=settings.smoothing)
                lines += [{"label": name, "genes": length, "group": group, **line} for line in scored]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def _score(
    evidence: Evidence, truth: np.ndarray, cells: Int[np.ndarray, " cell"], *, smoothing: SmoothConfig
) -> list[dict[str, object]]:
    """Accuracy of single and of smoothed calls among some cells."""
    logits = {SINGLE: evidence.logits[cells]}
    lines = []
    if evidence.embedding is not None and len(cells) > 1:
        try:
            logits[SMOOTHED] = smoothing.refine(evidence.logits[cells], CellGraph(evidence.embedding[cells]))
        except (ValueError, RuntimeError) as error:  # values that are not finite; smoothing that does not converge
            lines.append(_failed_line(SMOOTHED, f"{type(error).__name__}: {error}"))
    above = {leaf: ontology.ancestors(leaf) for leaf in evidence.leaves}
    known = truth[cells][is_known(truth[cells])]
    majority = 100 * np.unique(known, return_counts=True)[1].max() / len(known) if len(known) else None
    for calls, values in logits.items():
        terms = call_best(values, evidence.leaves).terms
        score = score_annotation(truth[cells], terms, ancestors=above)["accuracy"]
        dealt = {"random": np.array(evidence.leaves), "shuffled": terms[is_known(truth[cells])]}
        controls = {
            name: expected_accuracy(known, dealt[name], ancestors=above) if len(known) else None for name in CONTROLS
        }
        line = {"calls": calls, "cells": len(known), "majority": majority, **controls, "accuracy": score.value}
        lines.append({**line, "status": score.status, "reason": score.reason})
    return lines


def _fail(name: str, length: int, reason: str) -> dict[str, object]:
    return {"label": name, "genes": length, "group": ALL, **_failed_line(SINGLE, reason)}


def _failed_line(calls: str, reason: str) -> dict[str, object]:
    line = {"calls": calls, "cells": 0, "majority": None, **dict.fromkeys(CONTROLS), "accuracy": None}
    return {**line, "status": "failed", "reason": reason}
