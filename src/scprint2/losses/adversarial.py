"""How well an adversary does on an embedding that should be of no use to it."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from scprint2.data.assay_groups import group_codes
from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import UNKNOWN, LabelTable, LabelVocabulary
from scprint2.losses.node import LossNode
from scprint2.model.outputs import CellOutput


class AdversarialConfig(LossNode):
    """Cross-entropy of the adversary's guesses; the model has turned their gradient around."""

    kind: Literal["adversarial"]

    def build(self, labels: LabelVocabulary) -> "Adversarial":
        """Make the loss."""
        return Adversarial(self, labels)


class Adversarial(nn.Module):
    """Sum over views of the cross-entropy of organism and of assay group; unknown labels add nothing.

    Source: "Adversarial classifier loss", algorithm 4; D36.
    """

    compares_cells = False

    def __init__(self, config: AdversarialConfig, labels: LabelVocabulary):
        super().__init__()
        self.views = config.views
        self.column = {name: labels.classes.index(name) for name in ("organism", "assay")}
        self.register_buffer("organism", torch.tensor(leaf_codes(labels["organism"])), persistent=False)
        self.register_buffer("assay", torch.tensor([*group_codes(labels["assay"])[1], UNKNOWN]), persistent=False)

    def forward(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        terms = [
            mean_cross_entropy(outputs[view].adversary_logits[name], self.targets(batch, name))
            for view in self.views
            for name in self.column
        ]
        return torch.stack(terms).sum()

    def targets(self, batch: CellBatch, name: str) -> Int[Tensor, " cell"]:
        """Return what is to be guessed of each cell; -1 is unknown."""
        codes = batch.labels[:, self.column[name]].long()
        table = self.get_buffer(name)
        return table[codes % len(table)]  # -1 is the last row


def leaf_codes(table: LabelTable) -> list[int]:
    """Target of each label code, the last one for unknown: leaves are guessed, what has leaves under it is not."""
    return [*range(len(table.leaves)), *[UNKNOWN] * (len(table.parents) + 1)]


def mean_cross_entropy(logits: Float[Tensor, "cell label"], targets: Int[Tensor, " cell"]) -> Float[Tensor, ""]:
    """Mean over all cells, so that a cell's gradient does not depend on the others; unknown ones add zero."""
    return cross_entropy(logits.float(), targets, ignore_index=UNKNOWN, reduction="sum") / len(targets)
