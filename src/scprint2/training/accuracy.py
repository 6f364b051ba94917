"""How well a trained model names cells that it was not trained on, class by class."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import UNKNOWN, LabelTable, LabelVocabulary
from scprint2.training.step import Numerics


def measure_accuracy(
    model: nn.Module, batches: Iterable[CellBatch], labels: LabelVocabulary, *, numerics: Numerics
) -> Mapping[str, Mapping[str, float | int]]:
    """Share of the labelled cells whose highest logit is that of their label, or of a leaf below it.

    A class whose label no cell has, or that the model does not predict, is left out.

    Parameters
    ----------
    model
        `ScPrint2`; it is left in evaluation.

    Returns
    -------
    Class name to its `accuracy` (0 to 1) and the number of `cells` that it is about.

    Source: "A pre-training corpus …", the accuracies on the validation dataset; the paper gives no definition.
    """
    model.eval()
    accepted = {table.name: accept(table).to(numerics.device) for table in labels.tables if table.leaves}
    right, known = ({name: torch.zeros((), device=numerics.device) for name in accepted} for _ in range(2))
    with torch.no_grad():
        for batch in batches:
            with numerics.context():
                logits: Mapping[str, Tensor] = model(batch).logits
            for name in accepted.keys() & logits.keys():
                codes = batch.labels[:, labels.classes.index(name)].long()
                is_right = accepted[name][codes, logits[name].argmax(dim=1)]
                right[name] += is_right.sum()
                known[name] += (codes != UNKNOWN).sum()
    cells = {name: int(count) for name, count in known.items() if count > 0}
    return {name: {"accuracy": float(right[name]) / count, "cells": count} for name, count in cells.items()}


def accept(table: LabelTable) -> Tensor:
    """Boolean matrix [code, leaf]: the leaves that are right for each label; the last row, of unknown, has none."""
    leaves = torch.eye(len(table.leaves), dtype=torch.bool)
    return torch.cat([leaves, torch.from_numpy(table.membership), torch.zeros_like(leaves[:1])])
