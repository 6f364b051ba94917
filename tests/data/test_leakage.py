import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from scprint2.data.corpus import build_corpus
from scprint2.data.genes import GeneTable
from scprint2.data.leakage import COMPARED_GENES, EvaluationSet, HashLookup, Ledger, Source, compare_with_test_sets
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard

from .builders import HUMAN, MOUSE, gene_ids, processed_cells, vocabulary

GENES = 120


def table(organism=HUMAN):
    frame = vocabulary({organism: GENES}).frame.drop(columns="organism")
    return GeneTable(organism, frame.assign(aliases="", biotype="protein_coding", chromosome="1", start=0))


def cells(dataset="set_a", *, seed=0, organism=HUMAN, donors=None):
    adata = processed_cells(cells=60, genes=GENES, seed=seed, dataset=dataset, organism=organism)
    if donors is not None:
        adata.obs["donor_id"] = donors
    return adata


class Case:
    """Two shards, and test sets that a test writes."""

    def __init__(self, folder):
        self.folder = folder
        self.shards = [self.shard(cells("set_a")), self.shard(cells("set_b", seed=1))]
        self.tests = []

    def shard(self, adata):
        path = self.folder / adata.uns["scprint2"]["dataset"]
        write_shard(adata, path, gene_ids=gene_ids(HUMAN, GENES), validation_share=0.1)
        return Shard.open(path)

    def add(self, adata):
        self.tests.append(self.folder / f"{adata.uns['scprint2']['dataset']}.h5ad")
        adata.write_h5ad(self.tests[-1])

    def ledger(self, **sources):
        return compare_with_test_sets(self.shards, [table()], self.tests, sources=sources)


@pytest.fixture
def case(tmp_path):
    return Case(tmp_path)


def kinds(ledger):
    return [tuple(row) for row in ledger.rows[["test_set", "kind", "dataset", "shared_cells"]].to_numpy().tolist()]


def with_row_of(test, other, *, at):
    """Put the deepest cell of `other` into `test`; return which one it was."""
    row = int(np.argmax((other.X > 0).sum(axis=1)))
    counts = test.X.tolil()
    counts[at] = other.X[row]
    test.X = counts.tocsr()
    return row


def test_a_clean_test_set_has_one_row_that_says_so(case):
    case.add(cells("test", seed=5, donors="somebody else"))
    ledger = case.ledger()
    assert kinds(ledger) == [("test", "none", "", 0)]
    assert 0 < ledger.rows["compared_cells"][0] <= ledger.rows["test_cells"][0] == 60
    assert ledger.seen.empty
    assert ledger.enforce("refuse", corpus="small")["overlaps"] == ledger.rows.to_dict("records")


def test_a_dataset_of_the_same_name_is_a_leak_of_all_its_cells(case):
    case.add(cells("set_a", seed=5, donors="x"))
    ledger = case.ledger()
    assert kinds(ledger) == [("set_a", "dataset", "set_a", 60)]
    assert len(ledger.seen) == 60


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (Source(file="x.h5ad"), Source(file="x.h5ad"), "dataset"),
        (Source(file="x.h5ad", subset="split=train"), Source(file="x.h5ad"), "dataset"),
        (Source(file="x.h5ad", subset="split=train"), Source(file="x.h5ad", subset="split=test"), "none"),
        (Source(file="x.h5ad"), Source(file="y.h5ad"), "none"),
        (Source(), Source(), "none"),
    ],
)
def test_a_dataset_under_two_names_is_known_by_its_file(case, ours, theirs, found):
    case.add(cells("test", seed=5, donors="x"))
    assert kinds(case.ledger(set_b=ours, test=theirs))[0][1] == found


def test_a_cell_under_another_name_is_found_by_its_counts(case):
    test = cells("test", seed=5, donors="somebody else")
    row = with_row_of(test, cells("set_b", seed=1), at=7)
    case.add(test)
    ledger = case.ledger()
    assert kinds(ledger) == [("test", "cell", "set_b", 1)]
    assert (ledger.rows["corpus_cells"][0], ledger.rows["examples"][0]) == (1, f"rows {row} of its file")
    assert ledger.seen.to_numpy().tolist() == [["test", "test_7"]]
    with pytest.raises(ValueError, match=r"'test', cell: 1 of its 60 cells, by 'set_b' .*\n.*leakage: report"):
        ledger.enforce("refuse", corpus="small")


def test_cells_with_few_genes_prove_no_leak(tmp_path):
    case = Case(tmp_path)
    for genes, found in ((COMPARED_GENES - 1, "none"), (COMPARED_GENES, "cell")):
        adata, test = cells("set_a", donors="a"), cells("test", seed=5, donors="b")
        for part in (adata, test):
            counts = part.X.tolil()
            counts[0] = 0
            counts[0, :genes] = 1
            part.X = counts.tocsr()
        case.shards, case.tests = [case.shard(adata)], []
        case.add(test)
        assert kinds(case.ledger())[0][1] == found


def test_a_donor_is_a_leak_inside_one_study_and_a_name_elsewhere(case):
    case.add(cells("test", seed=5, donors=["donor_2"] + ["donor_9"] * 59))
    study, other = Source(collection="study"), Source(collection="another")
    ledger = case.ledger(test=study, set_a=study, set_b=other)
    assert kinds(ledger) == [
        ("test", "donor", "set_a", 1), ("test", "donor_name", "set_b", 1), ("test", "study", "set_a", 0),
    ]  # fmt: skip
    assert ledger.seen.to_numpy().tolist() == [["test", "test_0"]]
    with pytest.raises(ValueError, match=r"donor: 1 of its 60 cells, by 'set_a' \(donor_2\)"):
        ledger.enforce("refuse", corpus="small")
    case.ledger(set_b=other).enforce("refuse", corpus="small")  # names alone are listed, not refused


def test_words_for_no_known_donor_name_nobody(case):
    case.shards.append(case.shard(cells("set_c", seed=2, donors=["unknown", "pooled"] * 30)))
    case.add(cells("test", seed=5, donors=["unknown", "pooled", "na"] * 20))
    study = Source(collection="study")
    assert kinds(case.ledger(test=study, set_c=study)) == [("test", "study", "set_c", 0)]


def test_another_dataset_of_the_study_is_listed_and_neither_refused_nor_marked_as_seen(case):
    """As a recount of the test set's reads: other counts, no donor."""
    case.shards = [case.shard(cells("recount", seed=3, donors="unknown"))]
    case.add(cells("test", seed=5))
    case.add(cells("mice", organism=MOUSE))
    study = Source(collection="study")
    ledger = case.ledger(test=study, recount=study, mice=study)
    assert kinds(ledger) == [("mice", "none", "", 0), ("test", "study", "recount", 0)]
    assert ledger.rows[["corpus_cells", "examples"]].to_numpy().tolist()[1] == [60, "study"]
    assert ledger.seen.empty
    assert len(ledger.enforce("refuse", corpus="small")["overlaps"]) == 2


def test_another_organism_shares_neither_cells_nor_donors(case):
    case.add(cells("mice", organism=MOUSE, donors="donor_1"))
    ledger = case.ledger()
    assert kinds(ledger) == [("mice", "none", "", 0)]
    assert ledger.rows["compared_cells"][0] == 0


def test_where_the_user_insists_the_corpus_is_built_and_names_what_it_shares(case):
    case.add(cells("test", seed=1, donors="x"))
    found = case.ledger().enforce("report", corpus="small")
    assert [row["kind"] for row in found["overlaps"]] == ["cell"]
    folders = [shard.folder for shard in case.shards]
    corpus = build_corpus("small", folders, [table()], validation_share=0.1, leakage=found)
    corpus.save(case.folder / "small.json")
    assert json.loads((case.folder / "small.json").read_text())["leakage"] == found


def test_a_ledger_is_the_same_when_read_back(case):
    case.add(cells("test", seed=1, donors="donor_1"))
    case.add(cells("clean", seed=9, donors="x"))
    ledger = case.ledger()
    paths = {"rows": case.folder / "leakage.tsv", "seen": case.folder / "seen.tsv.gz"}
    ledger.write(**paths)
    again = Ledger.read(**paths)
    pd.testing.assert_frame_equal(again.rows, ledger.rows)
    pd.testing.assert_frame_equal(again.seen, ledger.seen)


def test_without_test_sets_nothing_is_found(case):
    ledger = case.ledger()
    assert ledger.rows.empty
    assert ledger.seen.empty


def test_many_hashes_are_found_as_a_plain_search_finds_them_in_little_memory():
    """Three million corpus cells; a test set of 20,000, a tenth of which are among them."""
    rng = np.random.default_rng(0)
    corpus = rng.integers(2**64, size=3_000_000, dtype=np.uint64)
    test = rng.integers(2**64, size=20_000, dtype=np.uint64)
    places = rng.choice(len(corpus), size=2000, replace=False)
    corpus[places] = test[:2000]
    ids, known = np.arange(20_000).astype(str), np.ones(20_000, bool)
    lookup = HashLookup.build([EvaluationSet("test", HUMAN, ids, ids, test, known)])
    tracemalloc.start()
    hits = lookup.find(corpus)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(hits.row, np.flatnonzero(np.isin(corpus, test)))
    assert sorted(hits.row) == sorted(places)
    assert np.array_equal(hits.hash, corpus[hits.row])
    assert peak < corpus.nbytes
