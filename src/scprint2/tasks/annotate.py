"""Zero-shot prediction of cell types."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float, Shaped
from pydantic import Field, field_validator
from torch import Tensor

from scprint2.config.node import Node
from scprint2.data import ontology
from scprint2.data.batch import CellBatch
from scprint2.data.context import Selector
from scprint2.model.outputs import CellOutput
from scprint2.tasks.answers import Calls, call_best, list_candidates, share_parents
from scprint2.tasks.embed import pool_tokens
from scprint2.tasks.inference import Reader, run
from scprint2.tasks.layout import CANDIDATES, PREDICTED, REFINED, SHARED_PARENT, TERM, UNKNOWN, read_ancestors
from scprint2.tasks.refinement import CellGraph, Refinement
from scprint2.tasks.selection import draw_cells
from scprint2.training.checkpoint import PretrainedModel

CLASS = "cell_type"


class AnnotateSettings(Node):
    """How to annotate: cells at most, genes in context, and what is answered.

    Attributes
    ----------
    candidates
        Types that are listed for each cell, best first.
    rival_odds
        A candidate is a rival of the best type if its odds are at least this share of the best's; the lowest common ancestor of
        the best type and its rivals is the cell's shared parent.
    least_confidence
        Below it a cell is called unknown; 0 never is.
    refinements
        Further calls, by name, from logits that are put right by those of similar cells.
    """

    batch_size: int = Field(ge=1)
    cells: int = Field(ge=1)
    max_genes: int = Field(ge=1)
    candidates: int = Field(ge=1)
    rival_odds: float = Field(ge=0, le=1)
    least_confidence: float = Field(ge=0, le=1)
    refinements: dict[str, Refinement]

    @field_validator("refinements")
    @classmethod
    def _refuse_taken_names(cls, refinements: dict[str, Refinement]) -> dict[str, Refinement]:
        taken = sorted({PREDICTED, SHARED_PARENT}.intersection(refinements))
        if taken:
            raise ValueError(f"refinements cannot be called {taken}, these name other answers; rename them")
        return refinements


@dataclass(frozen=True)
class Evidence:
    """What a method says about cells.

    Attributes
    ----------
    leaves
        The types that it knows.
    logits
        Log odds of each type.
    embedding
        Where the cells lie; None where the method has no notion of it, and then there are no refined calls.
    """

    leaves: tuple[str, ...]
    logits: Float[np.ndarray, "cell leaf"]
    embedding: Float[np.ndarray, "cell dim"] | None


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
    chosen = adata[draw_cells(adata, settings.cells)]
    reader = Reader(pretrained, adata, rows=adata.obs_names.get_indexer(chosen.obs_names))
    selector = reader.top_expressed(settings.max_genes)
    evidence = classify_cells(reader, [CLASS], selector=selector, batch_size=settings.batch_size)[CLASS]
    return answer(chosen, evidence, settings=settings)


def classify_cells(reader: Reader, names: Sequence[str], *, selector: Selector, batch_size: int) -> dict[str, Evidence]:
    """Return for each class of labels what the model says, the embedding being the cells' embedding for that class.

    Raises
    ------
    ValueError
        If the model does not predict one of the classes.
    """
    labels = reader.pretrained.labels
    missing = [name for name in names if name not in labels.classes]
    if missing:
        raise ValueError(f"the model predicts {list(labels.classes)}, not {', '.join(missing)}; it cannot annotate")

    def classify(batch: CellBatch) -> list[tuple[Tensor, Tensor]]:
        output: CellOutput = reader.pretrained.model(batch)
        tokens = output.cell_embeddings.float()
        embeddings = [pool_tokens(tokens, classes=labels.classes, kind=name).cpu() for name in names]
        return [(output.logits[name].float().cpu(), part) for name, part in zip(names, embeddings, strict=True)]

    batches = [batch for _, batch in run(reader, classify, selector=selector, batch_size=batch_size)]
    evidence = {}
    for name, parts in zip(names, zip(*batches, strict=True), strict=True):
        logits, embedding = (torch.cat(values).numpy().astype(np.float32) for values in zip(*parts, strict=True))
        evidence[name] = Evidence(tuple(labels[name].leaves), logits, embedding)
    return evidence


def answer(cells: AnnData, evidence: Evidence, *, settings: AnnotateSettings, calls: Calls | None = None) -> AnnData:
    """Lay out every answer that the settings ask for; `calls` takes the place of the types with the largest logit.

    Beside the calls: `obsm["candidates"]`, the most likely types as codes of `uns["leaves"]`, best first; `obsm["logits"]` in
    half precision; `obs["shared_parent_..."]`, and for each refinement its calls and confidence, named in `uns["refined"]`.
    """
    leaves, logits = evidence.leaves, evidence.logits
    calls = calls or call_best(logits, leaves, least_confidence=settings.least_confidence)
    prediction = annotation(cells, calls.terms, confidence=calls.confidence, known=leaves)
    above = read_ancestors(prediction)
    parents = share_parents(logits, leaves, number=settings.candidates, rival_odds=settings.rival_odds, ancestors=above)
    _add_terms(prediction, SHARED_PARENT, parents)
    prediction.uns["leaves"] = np.array(leaves)
    prediction.obsm["logits"] = logits.astype(np.float16)
    prediction.obsm[CANDIDATES] = list_candidates(logits, settings.candidates)
    if evidence.embedding is None or not settings.refinements:
        return prediction
    graph = CellGraph(evidence.embedding)
    for name, refinement in settings.refinements.items():
        refined = call_best(refinement.refine(logits, graph), leaves, least_confidence=settings.least_confidence)
        _add_terms(prediction, name, refined.terms)
        prediction.obs[f"{name}_confidence"] = refined.confidence
    prediction.uns[REFINED] = np.array(list(settings.refinements))
    return prediction


def annotation(
    cells: AnnData,
    predicted: Shaped[np.ndarray, " cell"],
    *,
    confidence: Float[np.ndarray, " cell"],
    known: Iterable[str],
) -> AnnData:
    """Lay out predicted types beside the truth, with what the ontology says about the terms.

    `uns["ancestors"]` maps each term, and each of its ancestors, to its ancestors, `uns["names"]` to its label;
    `uns["answerable"]` is the share of labeled cells for which the `known` types hold a right answer (the true type or one of its
    descendants): no model that knows these types alone can be right more often.
    """
    truth = cells.obs[TERM].astype(str).to_numpy()
    known = sorted(set(known))
    terms = (set(truth) | set(predicted) | set(known)) - {UNKNOWN}
    terms = sorted(terms.union(*map(ontology.ancestors, terms)))
    above = {term: sorted(ontology.ancestors(term)) for term in terms}
    prediction = AnnData(obs=pd.DataFrame({TERM: truth}, index=cells.obs_names).astype("category"))
    prediction.uns["ancestors"] = {term: "|".join(above[term]) for term in terms}
    prediction.uns["names"] = {term: ontology.label(term) for term in terms}
    _add_terms(prediction, PREDICTED, predicted)
    prediction.obs["confidence"] = confidence.astype(np.float32)
    right = {answer for term in known for answer in (term, *above[term])}
    labeled = truth[truth != UNKNOWN]
    prediction.uns["answerable"] = float(np.isin(labeled, list(right)).mean()) if len(labeled) else float("nan")
    return prediction


def _add_terms(prediction: AnnData, name: str, terms: Shaped[np.ndarray, " cell"]) -> None:
    """Put one answer per cell into obs: the term and, beside it, its name."""
    names: Mapping[str, str] = prediction.uns["names"]
    prediction.obs[f"{name}_{TERM}"] = pd.Categorical(terms)
    prediction.obs[f"{name}_{CLASS}"] = pd.Categorical([names.get(term, term) for term in terms])
