"""What is known of regulation before training: pairs of genes, looked up for the genes of a batch."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scprint2.data.vocabulary import GeneVocabulary

COLUMNS = ("source", "target")
WHAT_TO_GIVE = (
    "Give a tab-separated table with the columns source (regulator) and target, named by gene id, and, if wanted, weight; "
    "pairs that are not in it have weight 0. Or use the attention `full`"
)


class NoPrior(nn.Module):
    """Nothing is known."""

    def forward(self, genes: Int[Tensor, "cell gene"] | None, *, tokens: int) -> None:
        """Return nothing."""
        return None


class Prior(nn.Module):
    """A sparse matrix over all pairs of genes, kept with the weights; its row is the query of the attention.

    Source: "Biased attention" (the matrix M).
    """

    codes: Tensor
    weights: Tensor

    def __init__(self, codes: Int[np.ndarray, " pair"], weights: Float[np.ndarray, " pair"], *, genes: int):
        super().__init__()
        order = np.argsort(codes)
        self.genes = genes
        self.register_buffer("codes", torch.from_numpy(codes[order]))  # row x genes + column
        self.register_buffer("weights", torch.from_numpy(weights[order].astype(np.float32)))

    def forward(self, genes: Int[Tensor, "cell gene"] | None, *, tokens: int) -> Float[Tensor, "cell 1 token token"]:
        """Return the weights between the genes of each cell; zero for the tokens before them."""
        assert genes is not None, "a prior needs to know the genes"
        codes = genes[:, :, None] * self.genes + genes[:, None, :]
        place = torch.searchsorted(self.codes, codes).clamp(max=len(self.codes) - 1)
        weights = self.weights[place] * (self.codes[place] == codes)
        before = tokens - genes.shape[1]
        return nn.functional.pad(weights, (before, 0, before, 0))[:, None]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Take the pairs of a stored model, however many: the file they came from may be gone."""
        for name, buffer in list(self._buffers.items()):
            stored = state_dict.get(prefix + name)
            if stored is not None and buffer is not None:
                setattr(self, name, buffer.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def empty_prior(genes: GeneVocabulary) -> Prior:
    """Return a prior whose pairs come with the weights of a stored model."""
    return Prior(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), genes=len(genes))


def read_prior(path: Path, genes: GeneVocabulary, *, regulator: Literal["query", "key"]) -> Prior:
    """Read the pairs whose genes the model knows.

    Raises
    ------
    ValueError
        If there is no such file, a column is missing, a weight is not a finite number, a pair is given twice, or no pair is
        left.
    """
    if not path.is_file():
        raise ValueError(f"the attention `biased` needs a prior, {path} is not a file. {WHAT_TO_GIVE}")
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if not set(COLUMNS) <= set(table.columns):
        raise ValueError(f"{path}: expected the columns {list(COLUMNS)}, found {list(table.columns)}. {WHAT_TO_GIVE}")
    weights = pd.to_numeric(table["weight"], errors="coerce") if "weight" in table else np.ones(len(table))
    weights = np.asarray(weights, dtype=np.float32)
    if not np.isfinite(weights).all():
        raise ValueError(f"{path}: {int((~np.isfinite(weights)).sum())} weights are not finite numbers")
    if table.duplicated(list(COLUMNS)).any():
        raise ValueError(
            f"{path}: {int(table.duplicated(list(COLUMNS)).sum())} pairs are given twice; keep one of each"
        )
    known = pd.Index(genes.frame["gene_id"])
    source, target = (known.get_indexer(table[column]).astype(np.int64) for column in COLUMNS)
    kept = (source >= 0) & (target >= 0)
    if not kept.any():
        raise ValueError(
            f"{path}: the model knows the genes of none of its {len(table)} pairs; they are named like "
            f"{table['source'].tolist()[:2]}, those of the model like {known[:2].tolist()}. {WHAT_TO_GIVE}"
        )
    row, column = (source, target) if regulator == "query" else (target, source)
    return Prior((row * len(genes) + column)[kept], weights[kept], genes=len(genes))
