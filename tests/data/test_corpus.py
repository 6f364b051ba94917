import shutil

import numpy as np
import pandas as pd
import pytest

from scprint2.data.corpus import Corpus, build_corpus
from scprint2.data.genes import GeneTable
from scprint2.data.shard import Shard
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES

from .builders import HUMAN, MOUSE, gene_ids, processed_cells, small_corpus, vocabulary

GENES = 120


def table(organism=HUMAN, *, genes=GENES):
    frame = vocabulary({organism: genes}).frame.drop(columns="organism")
    return GeneTable(organism, frame.assign(aliases="", biotype="protein_coding", chromosome="1", start=0))


def write(folder, adata, *, organism=HUMAN, validation_share=0.1):
    path = folder / adata.uns["scprint2"]["dataset"]
    write_shard(adata, path, gene_ids=gene_ids(organism, GENES), validation_share=validation_share)
    return path


def cells(dataset="set_a", *, seed=0, organism=HUMAN, number=60):
    return processed_cells(cells=number, genes=GENES, seed=seed, dataset=dataset, organism=organism)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def shards(tmp_path):
    return [write(tmp_path, cells("set_a")), write(tmp_path, cells("set_b", seed=1))]


def build(shards, **changes):
    return build_corpus(
        "small", shards, [table()], **({"classes": CLASSES, "validation_share": 0.1, "leakage": {}} | changes)
    )


def test_rows_of_any_shards_come_back_in_the_order_asked_for(corpus):
    dense = [shard.counts().toarray() for shard in corpus.shards]
    asked = np.random.default_rng(0).integers(len(corpus), size=200)
    asked[::17] = -1
    rows = corpus.read(asked)
    shard_of, row_of = corpus.locate(asked)
    for place, number in enumerate(asked):
        found = np.zeros(60, np.int64)
        part = slice(rows.indptr[place], rows.indptr[place + 1])
        found[rows.gene[part]] = rows.count[part]
        expected = np.zeros(60, np.int64)
        if number >= 0:
            values = dense[shard_of[place]][row_of[place]]
            expected[: len(values)] = values
        assert np.array_equal(found, expected)


def test_cells_are_numbered_shard_after_shard(corpus):
    sizes = [len(shard) for shard in corpus.shards]
    assert len(corpus) == sum(sizes)
    first = corpus.starts[:-1]
    assert [values.tolist() for values in corpus.locate(first)] == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert [values.tolist() for values in corpus.locate(first + sizes - 1)] == [
        [0, 1, 2, 3],
        [size - 1 for size in sizes],
    ]


def test_a_saved_corpus_is_the_same_when_loaded_and_can_move(shards, tmp_path):
    built = build(shards, leakage={"policy": "refuse"})
    (tmp_path / "corpora").mkdir()
    built.save(tmp_path / "corpora" / "small.json")
    moved = tmp_path.with_name(tmp_path.name + "_moved")
    shutil.move(tmp_path, moved)
    loaded = Corpus.load(moved / "corpora" / "small.json")
    assert loaded.name == "small"
    assert [shard.dataset for shard in loaded.shards] == ["set_a", "set_b"]
    assert loaded.labels == built.labels
    assert loaded.genes.frame.equals(built.genes.frame)
    assert (loaded.validation_share, loaded.leakage) == (0.1, {"policy": "refuse"})


def test_labels_of_all_shards_get_tables_with_ontology_parents(shards):
    labels = build(shards).labels
    assert labels.classes == CLASSES
    # B cells, and T cells with the CD4-positive ones below them
    assert set(labels["cell_type"].leaves) >= {"CL:0000236", "CL:0000624"}
    assert "CL:0000084" in labels["cell_type"].parents
    assert set(labels["sex"].leaves) == {"PATO:0000383", "PATO:0000384"}
    assert labels["tissue"].leaves == ()


def test_only_organisms_of_the_shards_are_in_the_vocabulary(shards):
    corpus = build_corpus("small", shards, [table(MOUSE), table()], classes=("sex",), validation_share=0.1, leakage={})
    assert corpus.organisms == (HUMAN,)
    assert corpus.select_labels(["sex"]).classes == ("sex",)
    with pytest.raises(ValueError, match="no labels of .*tissue"):
        corpus.select_labels(["tissue"])


def test_shards_that_do_not_fit_are_refused(shards, tmp_path):
    with pytest.raises(ValueError, match="no gene table of NCBITaxon:9606"):
        build_corpus("small", shards, [table(MOUSE)], classes=("sex",), validation_share=0.1, leakage={})
    with pytest.raises(ValueError, match="another gene table"):
        build_corpus("small", shards, [table(genes=GENES + 1)], classes=("sex",), validation_share=0.1, leakage={})
    with pytest.raises(ValueError, match="validation share of 0.1, the corpus asks for 0.02"):
        build(shards, validation_share=0.02)
    with pytest.raises(ValueError, match="'set_a' is listed twice"):
        build([*shards, shards[0]])
    with pytest.raises(ValueError, match="no shards"):
        build([])


def test_a_damaged_or_replaced_shard_is_noticed(shards, tmp_path):
    build(shards).save(tmp_path / "small.json")
    content = bytearray((shards[0] / "arrays.bin").read_bytes())
    content[-1] ^= 1
    (shards[0] / "arrays.bin").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        build(shards)
    write(tmp_path, cells("set_a", seed=9))
    with pytest.raises(ValueError, match="not the shard"):
        Corpus.load(tmp_path / "small.json")
    (tmp_path / "small.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format 99"):
        Corpus.load(tmp_path / "small.json")


def test_obs_may_come_without_donors(tmp_path):
    adata = cells("set_a")
    adata.obs = pd.DataFrame(adata.obs.drop(columns="donor_id"))
    assert Shard.open(write(tmp_path, adata)).header["donors"] == []
