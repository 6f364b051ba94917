"""A test set of which a corpus holds a part: from the counts of its cells to the rows of a score file."""

import numpy as np
import pytest

from scprint2.baselines import BASELINES
from scprint2.baselines.training_cells import TrainingCells
from scprint2.data.genes import GeneTable
from scprint2.data.leakage import COMPARED_GENES, Ledger, Source, compare_with_test_sets
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.tasks.predict import Method, PredictionJob, predict
from scprint2.tasks.scores import read_scores, score_prediction, score_rows, write_scores
from tests.data.builders import HUMAN, gene_ids, label_tables, processed_cells, vocabulary
from tests.tasks.example import ANNOTATE, B_CELL

GENES = 160
SHARED = 30  # of the test set's 60 cells, the first


def corpus_and_test(folder):
    """Write a shard, and a test set whose first cells are cells of the shard under other names, ids and labels."""
    train = processed_cells(cells=80, genes=GENES, seed=1, dataset="train")
    test = processed_cells(cells=60, genes=GENES, seed=2, dataset="test")
    train.obs["donor_id"], test.obs["donor_id"] = "one", "another"
    counts = test.X.tolil()
    counts[:SHARED] = train.X[:SHARED]
    test.X = counts.tocsr()
    test.obs["cell_type_ontology_term_id"] = np.where(np.arange(60) < SHARED, B_CELL, "CL:0000624")
    write_shard(train, folder / "train", gene_ids=gene_ids(HUMAN, GENES), validation_share=0.1)
    test.write_h5ad(folder / "test.h5ad")
    comparable = np.diff(test.X[:SHARED].indptr) >= COMPARED_GENES
    return Shard.open(folder / "train"), test.obs_names[:SHARED][comparable].tolist()


def test_a_corpus_that_holds_a_part_of_a_test_set_has_scores_of_the_cells_it_holds_and_of_the_others(tmp_path):
    shard, shared = corpus_and_test(tmp_path)
    assert 0 < len(shared) < SHARED, "cells of few genes prove nothing, and count as unseen"
    genes = vocabulary({HUMAN: GENES})
    frame = genes.frame.drop(columns="organism").assign(aliases="", biotype="protein_coding", chromosome="1", start=0)
    paths = {"rows": tmp_path / "leakage.tsv", "seen": tmp_path / "seen.tsv.gz"}
    sources = {"train": Source(file="train.h5ad"), "test": Source(file="test.h5ad")}
    compare_with_test_sets([shard], [GeneTable(HUMAN, frame)], [tmp_path / "test.h5ad"], sources=sources).write(**paths)
    ledger = Ledger.read(**paths)
    assert ledger.rows[["kind", "shared_cells", "test_cells"]].to_numpy().tolist() == [["cell", len(shared), 60]]
    assert ledger.seen["cell"].tolist() == shared

    train = TrainingCells(genes, label_tables([shard]), (shard,))
    method = Method("majority", train, {"annotate": BASELINES["annotate"]["majority"]})
    job = PredictionJob("annotate", "lung", "test", {**ANNOTATE, "refinements": {}}, str(tmp_path / "test.h5ad"))
    (path,) = predict(method, [job], out=tmp_path / "predictions", seed=0, seen=ledger.seen)
    prediction, scores = score_prediction(path)
    rows = score_rows(prediction, scores, scale="tiny", variant="majority", seed=0)
    write_scores(tmp_path / "scores.tsv", rows)
    found = read_scores(tmp_path / "scores.tsv").set_index("metric")
    assert set(found.loc[["accuracy", "accuracy:seen", "accuracy:unseen"], "status"]) == {"ok"}
    assert found.loc["accuracy:seen", "value"] == 100, (
        "B cells are the most frequent, and all that is shared are B cells"
    )
    assert found.loc["accuracy:unseen", "value"] == pytest.approx(100 * (SHARED - len(shared)) / (60 - len(shared)))
    assert found.loc["accuracy", "value"] == 50
