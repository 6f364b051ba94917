"""How well labels are predicted, given what an ontology says about them."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import LabelTable, LabelVocabulary
from scprint2.losses.node import LossNode
from scprint2.model.outputs import CellOutput


class HierarchicalConfig(LossNode):
    """Binary cross-entropy on leaves and their ancestors (D32)."""

    kind: Literal["hierarchical"]
    disjoint_parents: Literal["ignored", "negative"]

    def build(self, labels: LabelVocabulary) -> "Hierarchical":
        """Make the loss."""
        return Hierarchical(self, labels)


class Hierarchical(nn.Module):
    """Sum over classes and views of the hierarchical loss; unknown labels add nothing.

    Source: "Hierarchical classifier loss", algorithm 3; D32.
    """

    compares_cells = False

    def __init__(self, config: HierarchicalConfig, labels: LabelVocabulary):
        super().__init__()
        self.views = config.views
        self.tables = nn.ModuleDict(
            {table.name: HierarchicalTable(table, config.disjoint_parents) for table in labels.tables if table.leaves}
        )
        self.column = {name: column for column, name in enumerate(labels.classes)}

    def forward(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        terms = [
            table(outputs[view].logits[name], batch.labels[:, self.column[name]])
            for view in self.views
            for name, table in self.tables.items()
        ]
        return torch.stack(terms).sum()


class HierarchicalTable(nn.Module):
    """Targets and weights of every label of one class, looked up by its code; the last row is for unknown."""

    membership: Tensor
    targets: Tensor
    weights: Tensor

    def __init__(self, table: LabelTable, disjoint_parents: Literal["ignored", "negative"]):
        super().__init__()
        targets, weights = label_targets(table.membership, disjoint_parents=disjoint_parents)
        self.register_buffer("membership", torch.tensor(table.membership, dtype=torch.float64), persistent=False)
        self.register_buffer("targets", torch.tensor(targets, dtype=torch.float32), persistent=False)
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32), persistent=False)

    def forward(self, logits: Float[Tensor, "cell leaf"], labels: Int[Tensor, " cell"]) -> Float[Tensor, ""]:
        """Mean over cells and labels of the weighted binary cross-entropy; -1 is unknown."""
        rows = labels.long() % len(self.targets)  # -1 is the last row
        both = torch.cat([logits, parent_logits(logits, self.membership)], dim=1)
        return nn.functional.binary_cross_entropy_with_logits(both, self.targets[rows], weight=self.weights[rows])


def parent_logits(
    logits: Float[Tensor, "cell leaf"], membership: Float[Tensor, "parent leaf"]
) -> Float[Tensor, "cell parent"]:
    """Logsumexp of each parent's leaves, as one matrix product in fp64: exact where leaves lie up to 700 apart.

    Source: algorithm 3, "Aggregate leaf predictions using logsumexp".
    """
    values = logits.double()
    top = values.detach().max(dim=1, keepdim=True).values
    return (top + torch.log(torch.exp(values - top) @ membership.T)).to(logits.dtype)


def label_targets(
    membership: np.ndarray, *, disjoint_parents: Literal["ignored", "negative"]
) -> tuple[np.ndarray, np.ndarray]:
    """Targets and weights [label code, leaf + parent] of every label; the last row, all zero, is the unknown label.

    For a label with leaf set L: a known leaf has target 1 and the other leaves target 0; where L is a parent, its own leaves
    have weight 0. A parent that contains L has target 1 and weight 1/sqrt(its leaves). Parents inside L and partial overlaps
    have weight 0, disjoint ones too, or target 0 and weight 1/sqrt(leaves) with `disjoint_parents` "negative".

    Source: algorithm 3; D32.
    """
    parents, leaves = membership.shape
    own = np.vstack([np.eye(leaves, dtype=bool), membership.astype(bool)])  # leaf set of every label
    size = membership.sum(1)
    overlap = own.astype(int) @ membership.T.astype(int)  # [label, parent]
    contains = overlap == own.sum(1)[:, None]
    per_parent = 1 / np.sqrt(np.maximum(size, 1))
    known = np.arange(leaves + parents) < leaves
    leaf_target = own & known[:, None]
    leaf_weight = ~own | known[:, None]
    counted = contains | (overlap == 0) if disjoint_parents == "negative" else contains
    targets = np.hstack([leaf_target, contains]).astype(float)
    weights = np.hstack([leaf_weight, counted * per_parent])
    unknown = np.zeros((1, leaves + parents))
    return np.vstack([targets, unknown]), np.vstack([weights, unknown])
