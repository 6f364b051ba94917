from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from torch import nn

from scprint2.data.corpus import Corpus
from scprint2.data.loader import ValidationLoader
from scprint2.data.vocabulary import LabelTable, LabelVocabulary
from scprint2.training.accuracy import measure_accuracy
from scprint2.training.checkpoint import load_model
from scprint2.training.step import Numerics
from tests.helpers import make_batch, make_genes, make_labels
from tests.training import tiny

CPU = Numerics(torch.device("cpu"), "fp32")
LABELS = LabelVocabulary(
    (
        LabelTable("cell_type", ("a", "b", "c"), ("ab",), ((0, 1),), {}),
        LabelTable("sex", ("f", "m"), (), (), {}),
        LabelTable("tissue", (), (), (), {}),
    )
)


class Says(nn.Module):
    """Always the same logits."""

    def __init__(self, **logits):
        super().__init__()
        self.logits = {name: torch.tensor(rows) for name, rows in logits.items()}

    def forward(self, batch):
        return SimpleNamespace(logits=self.logits)


def batch_of(*codes):
    batch = make_batch(make_genes(), make_labels(), cells=len(codes))
    return replace(batch, labels=torch.tensor([[code, -1, -1] for code in codes], dtype=batch.labels.dtype))


def test_a_leaf_below_the_label_is_right_and_cells_without_a_label_do_not_count():
    best = [0, 1, 2, 0]  # of a cell that is a, one that is a or b, one that nobody knows, and one that is c
    model = Says(cell_type=np.eye(3)[best].tolist(), sex=[[1.0, 0.0]] * 4)
    batches = [batch_of(0, 3, -1, 2), batch_of(0, 3, -1, 2)]
    found = measure_accuracy(model, batches, LABELS, numerics=CPU)
    assert found == {"cell_type": {"accuracy": pytest.approx(2 / 3), "cells": 6}}


def test_a_model_without_a_class_has_no_accuracy_for_it():
    assert measure_accuracy(Says(), [batch_of(0)], LABELS, numerics=CPU) == {}


def test_the_record_has_the_accuracy_of_the_published_weights(tmp_path):
    manifest = tiny.make_corpus(tmp_path / "corpus")
    tiny.train(manifest, tmp_path)
    found = tiny.read_json(tmp_path / "model" / "record.json")["validation_accuracy"]["cell_type"]
    model, corpus = load_model(tmp_path / "model", "cpu"), Corpus.load(manifest)
    loader = ValidationLoader(corpus, model.experiment.data, batches=2, batch_size=8)
    true, called = [], []
    with torch.no_grad():
        for batch in loader:
            true += batch.labels[:, model.labels.classes.index("cell_type")].tolist()
            called += model.model(batch).logits["cell_type"].argmax(dim=1).tolist()
    assert max(true) < len(tiny.TYPES), "no cell of this corpus has a parent as its label"
    assert found == {"accuracy": pytest.approx(accuracy_score(true, called)), "cells": len(true)}


def test_an_untrained_model_has_no_accuracy(tmp_path):
    tiny.train(tiny.make_corpus(tmp_path / "corpus"), tmp_path, variant="negative_control", epochs=0)
    assert tiny.read_json(tmp_path / "model" / "record.json")["validation_accuracy"] == {}
