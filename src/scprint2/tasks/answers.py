"""From logits over leaf types to answers: the best type, the most likely ones, and the parent that they share. No torch."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from scprint2.metrics.annotation import count_leaves
from scprint2.tasks.layout import UNKNOWN


@dataclass(frozen=True)
class Calls:
    """One answer per cell.

    Attributes
    ----------
    terms
        Ontology terms, or `unknown`.
    confidence
        In [0, 1].
    """

    terms: Shaped[np.ndarray, " cell"]
    confidence: Float[np.ndarray, " cell"]


def call_best(logits: Float[np.ndarray, "cell leaf"], leaves: Sequence[str], *, least_confidence: float = 0.0) -> Calls:
    """Call each cell the type with the largest logit, whose sigmoid is the confidence; `unknown` where that is too low.

    Source: Results, "confidence-based selection".
    """
    best = logits.argmax(axis=1)
    confidence = sigmoid(np.take_along_axis(logits, best[:, None], axis=1)[:, 0])
    terms = np.where(confidence >= least_confidence, np.array(leaves)[best], UNKNOWN)
    return Calls(terms, confidence)


def sigmoid(logits: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64))).astype(np.float32)


def list_candidates(logits: Float[np.ndarray, "cell leaf"], number: int) -> Int[np.ndarray, "cell candidate"]:
    """Codes of the types with the largest logits, best first, ties in the order of the types; fewer where there are fewer.

    Source: Results, "top-K predictions".
    """
    return np.argsort(-logits, axis=1, kind="stable")[:, :number].astype(np.int32)


def share_parents(
    logits: Float[np.ndarray, "cell leaf"],
    leaves: Sequence[str],
    *,
    number: int,
    rival_odds: float,
    ancestors: Mapping[str, Set[str]],
) -> Shaped[np.ndarray, " cell"]:
    """Answer with the lowest common ancestor of the best type and its rivals.

    Rivals are those of the `number` best types whose odds are at least `rival_odds` times those of the best; with none the
    answer is the best type itself, with `rival_odds` 0 all of them are.

    Source: Results, "When multiple labels have high logits, it can output their shared parental label".
    """
    codes = list_candidates(logits, number)
    values = np.take_along_axis(logits, codes, axis=1)
    with np.errstate(divide="ignore"):
        rivals = values >= values[:, :1] + np.log(rival_odds)
    below = count_leaves(leaves, ancestors=ancestors)
    keys = np.sort(np.where(rivals, codes, -1), axis=1)
    sets, inverse = np.unique(keys, axis=0, return_inverse=True)
    groups = [[str(leaves[code]) for code in codes if code >= 0] for codes in sets.tolist()]
    answers = [lowest_common_ancestor(group, ancestors=ancestors, leaves_below=below) for group in groups]
    return np.array(answers)[inverse.ravel()]


def lowest_common_ancestor(
    terms: Sequence[str], *, ancestors: Mapping[str, Set[str]], leaves_below: Mapping[str, int]
) -> str:
    """Return the term, at or above all given ones, that holds the fewest leaf types; `unknown` if there is none.

    The Cell Ontology is no tree: of several such terms the one with most ancestors is taken, then the first by id.
    """
    lines = [{term, *ancestors.get(term, ())} for term in terms]
    common = set.intersection(*lines)
    if not common:
        return UNKNOWN
    return min(common, key=lambda term: (leaves_below[term], -len(ancestors.get(term, ())), term))
