"""How a model is fine-tuned; needs no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model is fine-tuned.

    Attributes
    ----------
    weights
        What learns: the layers of the XPressor, or everything that pre-training trained.
    epochs, learning_rate
        4 and 1e-4 in the paper; the rate is constant.
    domain_weight
        Of the discrepancy between domains, where domains are given (D7).
    max_genes
        Genes of each cell that the model sees, the highest counts first; as many as it was trained on by default.
    validation_share
        Share of the cells that the model does not learn from; the epoch with the lowest loss on them is kept.

    Source: "Fine-tuning Task".
    """

    weights: Literal["xpressor", "all"] = "xpressor"
    epochs: int = 4
    learning_rate: float = 1e-4
    batch_size: int = 64
    domain_weight: float = 0.1
    max_genes: int | None = None
    validation_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        allowed = {
            "weights": self.weights in ("xpressor", "all"),
            "epochs": self.epochs >= 1,
            "learning_rate": self.learning_rate > 0,
            "batch_size": self.batch_size >= 2,
            "domain_weight": self.domain_weight >= 0,
            "validation_share": 0 < self.validation_share < 1,
        }
        for name, fits in allowed.items():
            if not fits:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; weights is xpressor or all, there is an epoch at least, a batch has two "
                    "cells, rates and weights are positive, and validation_share lies between 0 and 1."
                )
