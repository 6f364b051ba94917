import anndata
import numpy as np
import pytest

from scprint2.data import duplicates
from scprint2.data.corpus import Corpus
from scprint2.data.duplicates import drop_duplicates, find_repeated, member_paths, write_members
from scprint2.data.loader import BatchLoader
from scprint2.data.shard import Shard, hash_rows
from scprint2.data.shard_filter import filter_shard
from scprint2.data.shard_writer import write_shard
from tests.data.builders import HUMAN, MOUSE, data_config, gene_ids, label_tables, processed_cells, vocabulary

GENES = 300


def write(folder, adata, *, organism=HUMAN):
    name = adata.uns["scprint2"]["dataset"]
    write_shard(adata, folder / name, gene_ids=gene_ids(organism, GENES), validation_share=0.1)
    return Shard.open(folder / name)


def cells_of(name, cells=80, *, seed, organism=HUMAN):
    return processed_cells(cells=cells, genes=GENES, seed=seed, dataset=name, organism=organism)


def joined(name, parts):
    """One dataset of cells of several."""
    adata = anndata.concat(parts)
    adata.uns["scprint2"] = {"dataset": name, "organism": HUMAN}
    adata.obsm["neighbor"] = np.full((adata.n_obs, 6), -1, np.int32)
    adata.obsm["neighbor"][:, 0] = np.roll(np.arange(adata.n_obs), 1)
    return adata


@pytest.fixture
def shards(tmp_path):
    """Dataset b repeats 30 cells of a, c is a alone, d has the counts of a but is of mice."""
    a, b = cells_of("a", seed=1), cells_of("b", seed=2)
    copies = a[20:50, ::-1].copy()  # another order of genes
    mouse = cells_of("d", seed=1, organism=MOUSE)
    parts = {"a": a, "b": joined("b", [b, copies[:, b.var_names]]), "c": a.copy()}
    parts["c"].uns["scprint2"] = {"dataset": "c", "organism": HUMAN}
    return [write(tmp_path, part) for part in parts.values()] + [write(tmp_path, mouse, organism=MOUSE)]


def compared(shard):
    return shard.nnz >= duplicates.COMPARED_GENES


def test_the_first_dataset_keeps_a_cell_and_every_hash_is_left_once(shards, tmp_path):
    repeated = int(np.isin(shards[1].hash[compared(shards[1])], shards[0].hash).sum())
    assert 15 < repeated <= 30
    found = drop_duplicates(shards, tmp_path / "corpus/shards", work=tmp_path / "work")
    kept = {member["dataset"]: member["cells"] for member in found["members"]}
    shallow = int((~compared(shards[2])).sum())
    assert kept == {"a": 80, "b": 110 - repeated, "c": shallow, "d": 80}
    assert found["duplicates"] == [
        {"dataset": "b", "of": "a", "cells": repeated}, {"dataset": "c", "of": "a", "cells": 80 - shallow},
    ]  # fmt: skip
    write_members(tmp_path / "corpus/members.json", found, failed={})
    paths = member_paths(tmp_path / "corpus/members.json")
    human = [Shard.open(path) for path in paths[:3]]
    hashes = np.concatenate([shard.hash[compared(shard)] for shard in human])
    assert len(set(hashes.tolist())) == len(hashes)
    assert paths[0].resolve() == shards[0].folder.resolve(), "a shard without duplicates is used as it is"
    assert not (tmp_path / "work").exists()


def test_a_dataset_of_nothing_but_duplicates_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "COMPARED_GENES", 0)
    a = cells_of("a", seed=1)
    first = write(tmp_path, a)
    a.uns["scprint2"] = {"dataset": "b", "organism": HUMAN}
    found = drop_duplicates([first, write(tmp_path, a)], tmp_path / "shards", work=tmp_path / "work")
    assert [member["dataset"] for member in found["members"]] == ["a"]


def test_what_a_killed_job_left_does_no_harm(shards, tmp_path):
    first = drop_duplicates(shards, tmp_path / "one", work=tmp_path / "work")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/0000").write_bytes(b"\xff" * 160)
    assert drop_duplicates(shards, tmp_path / "one", work=tmp_path / "work") == first


@pytest.mark.parametrize("cells", [64, 4096])
def test_cells_that_repeat_another_are_found_as_by_plain_search_in_one_file_or_in_many(tmp_path, monkeypatch, cells):
    monkeypatch.setattr(duplicates, "PARTITION_CELLS", 64)
    monkeypatch.setattr(duplicates, "READ_CELLS", 100)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 1 << 64, size=700, dtype=np.uint64)
    parts = [(values[rng.integers(0, 700, size=number)], rng.random(number) < 0.9) for number in (400, 0, 900, 250)]
    found = list(find_repeated(parts, tmp_path, cells=cells))
    assert len(found) == cells // 64
    repeated, first = (np.concatenate([pair[side] for pair in found]) for side in (0, 1))
    seen, expected = {}, {}
    for shard, (hashes, takes_part) in enumerate(parts):
        for row in np.flatnonzero(takes_part).tolist():
            value = int(hashes[row])
            if value in seen:
                expected[shard, row] = seen[value]
            else:
                seen[value] = (shard, row)
    places = zip(repeated[["shard", "row"]].tolist(), first[["shard", "row"]].tolist(), strict=True)
    assert dict(places) == expected
    assert not list(tmp_path.iterdir())


def label_names(shard):
    """The terms of each cell."""
    terms = [(*shard.terms[name], "unknown") for name in shard.header["classes"]]  # code -1 is the last
    return [[known[code] for known, code in zip(terms, row, strict=True)] for row in shard.label.tolist()]


def test_terms_of_a_filtered_shard_are_those_of_its_cells(tmp_path):
    adata = cells_of("a", cells=200, seed=3)
    adata.obs["sex_ontology_term_id"] = np.where(np.arange(200) < 50, "unknown", "PATO:0000383")
    shard = write(tmp_path, adata)
    filter_shard(shard, np.asarray(shard.source) < 50, tmp_path / "less")
    less = Shard.open(tmp_path / "less")
    assert (less.terms["sex"], len(less.terms["cell_type"]) > 0) == ([], True)
    for column, name in enumerate(less.header["classes"]):
        used = set(np.asarray(less.label)[:, column].tolist()) - {-1}
        assert used == set(range(len(less.terms[name]))), name
        assert used >= set(np.asarray(less.stratum_label)[:, column].tolist()) - {-1}, name


def test_a_filtered_shard_holds_the_other_cells_unchanged(tmp_path):
    shard = write(tmp_path, cells_of("a", cells=400, seed=3))
    keep = np.random.default_rng(0).random(400) < 0.6
    keep[np.asarray(shard.label[:, 0]) == 0] = False  # a whole cell type goes, with its strata
    filter_shard(shard, keep, tmp_path / "less")
    less = Shard.open(tmp_path / "less")
    less.verify()
    assert (less.counts() != shard.counts()[keep]).nnz == 0
    assert np.array_equal(hash_rows(less.indptr, less.gene, less.counts().data), less.hash)
    for name in ("nnz", "source", "hash"):
        assert np.array_equal(getattr(less, name), getattr(shard, name)[keep]), name
    assert label_names(less) == [names for names, stays in zip(label_names(shard), keep, strict=True) if stays]
    assert less.terms[less.header["classes"][0]] == shard.terms[less.header["classes"][0]][1:]
    assert less.label.dtype == shard.label.dtype
    assert less.header["training_cells"] == int(keep[: shard.header["training_cells"]].sum())
    old = np.flatnonzero(keep)
    for row in range(len(less)):
        expected = [place for place in shard.neighbor[old[row]] if place >= 0 and keep[place]]
        assert old[less.neighbor[row][less.neighbor[row] >= 0]].tolist() == expected
    stratum = np.repeat(np.tile(np.repeat(np.arange(less.stratum_cells.shape[1]), 16), 2), less.stratum_cells.ravel())
    assert np.array_equal(less.stratum_label[stratum], less.label)
    assert (less.stratum_cells.sum(axis=(0, 2)) > 0).all()


def test_a_filtered_shard_is_drawn_from(tmp_path):
    shard = write(tmp_path, cells_of("a", cells=300, seed=3))
    filter_shard(shard, np.arange(300) % 3 > 0, tmp_path / "less")
    less = Shard.open(tmp_path / "less")
    corpus = Corpus("small", (less,), vocabulary({HUMAN: GENES}), label_tables([less]), 0.1, {})
    loader = BatchLoader(corpus, data_config(), batch_size=16, seed=0)
    assert len(loader.batch(0).counts) == 16


def test_a_shard_without_any_cell_is_refused(tmp_path):
    shard = write(tmp_path, cells_of("a", seed=3))
    with pytest.raises(ValueError, match="no cell would be left"):
        filter_shard(shard, np.zeros(80, dtype=bool), tmp_path / "less")
