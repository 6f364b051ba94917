"""Zero-shot prediction of cell types."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float, Shaped
from pydantic import Field
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data import ontology
from scprint2.data.batch import CellBatch
from scprint2.model.outputs import CellOutput
from scprint2.tasks.inference import Reader, run
from scprint2.tasks.layout import TERM, UNKNOWN
from scprint2.tasks.selection import draw_cells
from scprint2.training.checkpoint import PretrainedModel


class AnnotateSettings(Node):
    """How to annotate: cells at most, and genes in context."""

    batch_size: int = Field(ge=1)
    cells: int = Field(ge=1)
    max_genes: int = Field(ge=1)


def predict_cell_types(
    pretrained: PretrainedModel, adata: AnnData, *, settings: AnnotateSettings, seed: int
) -> AnnData:
    """Predict for each cell the leaf type with the largest logit; the confidence is its sigmoid.

    The forward pass is deterministic; `seed` is here because baselines need one.

    Raises
    ------
    ValueError
        If the model does not predict cell types.
    """
    if "cell_type" not in pretrained.labels.classes:
        raise ValueError(f"the model predicts {list(pretrained.labels.classes)}, not cell_type; it cannot annotate")
    chosen = adata[draw_cells(adata, settings.cells)]
    reader = Reader(pretrained, adata, rows=adata.obs_names.get_indexer(chosen.obs_names))

    def classify(batch: CellBatch) -> Float[Tensor, "cell leaf"]:
        output: CellOutput = pretrained.model(batch)
        return output.logits["cell_type"].float()

    selector = reader.top_expressed(settings.max_genes)
    parts = [part for _, part in run(reader, classify, selector=selector, batch_size=settings.batch_size)]
    logits = torch.cat(parts)
    best, leaf = logits.max(dim=1)
    leaves = np.array(pretrained.labels["cell_type"].leaves)
    return annotation(
        chosen,
        leaves[leaf.cpu().numpy()],
        confidence=best.sigmoid().cpu().numpy(),
        known=pretrained.labels["cell_type"].leaves,
    )


def annotation(
    cells: AnnData,
    predicted: Shaped[np.ndarray, " cell"],
    *,
    confidence: Float[np.ndarray, " cell"],
    known: Iterable[str],
) -> AnnData:
    """Lay out predicted types beside the truth, with what the ontology says about the terms.

    `uns["ancestors"]` maps each term to its ancestors, `uns["names"]` to its label; `uns["answerable"]` is the share of labeled
    cells for which the `known` types hold a right answer (the true type or one of its descendants): no model that knows
    these types alone can be right more often.
    """
    truth = cells.obs[TERM].astype(str).to_numpy()
    known = sorted(set(known))
    terms = sorted((set(truth) | set(predicted) | set(known)) - {UNKNOWN})
    above = {term: sorted(ontology.ancestors(term)) for term in terms}
    names = {term: ontology.label(term) for term in terms}
    obs = pd.DataFrame(
        {TERM: truth, f"predicted_{TERM}": predicted, "predicted_cell_type": [names[t] for t in predicted]}
    )
    obs = obs.astype("category").assign(confidence=confidence.astype(np.float32)).set_axis(cells.obs_names)
    prediction = AnnData(obs=obs)
    right = {answer for term in known for answer in (term, *above[term])}
    labeled = truth[truth != UNKNOWN]
    prediction.uns["answerable"] = float(np.isin(labeled, list(right)).mean()) if len(labeled) else float("nan")
    prediction.uns["ancestors"] = {term: "|".join(above[term]) for term in terms}
    prediction.uns["names"] = names
    return prediction
