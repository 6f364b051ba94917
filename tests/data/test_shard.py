import gc
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from scprint2.data import shard_writer
from scprint2.data.shard import ESCAPE, LEVELS, Shard, hash_rows
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES

from .builders import HUMAN, gene_ids, processed_cells

GENES = 60


@pytest.fixture(scope="module")
def adata():
    return processed_cells(cells=400, genes=GENES, seed=5, measured=45)


@pytest.fixture(scope="module")
def shard(adata, tmp_path_factory):
    return written(adata, tmp_path_factory.mktemp("shards") / "shard")


def written(adata, folder, *, genes=GENES, validation_share=0.1):
    write_shard(adata, folder, gene_ids=gene_ids(HUMAN, genes), validation_share=validation_share)
    return Shard.open(folder)


def on_gene_table(adata, *, genes=GENES):
    table = {gene: place for place, gene in enumerate(gene_ids(HUMAN, genes))}
    dense = np.zeros((adata.n_obs, genes), np.int64)
    dense[:, [table[gene] for gene in adata.var_names]] = adata.X.toarray()
    return dense


def splits(shard):
    return np.arange(len(shard)) >= shard.header["training_cells"]


def test_counts_come_back_as_they_were_also_those_above_a_byte(adata, shard):
    dense = on_gene_table(adata)
    assert dense.max() > 2**16
    assert np.array_equal(shard.counts().toarray(), dense[shard.source])
    assert np.array_equal(np.sort(shard.source), np.arange(400))
    assert np.array_equal(shard.nnz, (dense[shard.source] > 0).sum(axis=1))
    assert np.array_equal(shard.measured, np.flatnonzero(np.isin(gene_ids(HUMAN, GENES), adata.var_names)))


@pytest.mark.parametrize("count", [ESCAPE - 1, ESCAPE, ESCAPE + 1, 2**31 - 1])
def test_counts_at_the_edge_of_the_escape_survive(tmp_path, count):
    adata = processed_cells(cells=5, genes=GENES)
    adata.X = scipy.sparse.csr_matrix(np.full((5, GENES), count, dtype=np.int64))
    assert np.array_equal(written(adata, tmp_path / "shard").counts().toarray(), adata.X.toarray())


def test_gene_tables_beyond_sixteen_bits_are_stored(tmp_path):
    adata = processed_cells(cells=4, genes=70_000, measured=300)
    shard = written(adata, tmp_path / "shard", genes=70_000)
    assert shard.gene.dtype == np.uint32
    assert np.array_equal(shard.counts().toarray(), on_gene_table(adata, genes=70_000)[shard.source])


def test_cells_are_sorted_by_split_stratum_and_level(adata, shard):
    table = shard.stratum_cells
    assert table.sum() == 400
    flat = np.repeat(np.arange(table.size), table.reshape(-1))
    split, stratum, level = np.unravel_index(flat, table.shape)
    assert np.array_equal(split.astype(bool), splits(shard))
    assert np.array_equal(shard.label, shard.stratum_label[stratum])
    for name in ("cluster", "cell_type_cluster"):
        values = np.array(shard.header[f"{name}s"])[getattr(shard, f"stratum_{name}")][stratum]
        assert np.array_equal(values, adata.obs[name].to_numpy(str)[shard.source])
    low = np.array([shard.nnz[level == number].min() for number in range(LEVELS)])
    high = np.array([shard.nnz[level == number].max() for number in range(LEVELS)])
    assert (high[:-1] < low[1:]).all()
    means = [shard.nnz[level == number].mean() for number in range(LEVELS)]
    np.testing.assert_allclose(shard.header["level_nnz"], means)


def test_labels_name_the_terms_of_obs(adata, shard):
    for column, name in enumerate(CLASSES):
        terms = np.array([*shard.terms[name], "unknown"])[shard.label[:, column]]
        assert np.array_equal(terms, adata.obs[f"{name}_ontology_term_id"].to_numpy(str)[shard.source])


def test_missing_and_empty_labels_are_unknown(tmp_path):
    adata = processed_cells(cells=6, genes=GENES)
    adata.obs["tissue_ontology_term_id"] = ["UBERON:1", "", "na", "nan", np.nan, None]
    del adata.obs["disease_ontology_term_id"]
    shard = written(adata, tmp_path / "shard", validation_share=0.0)
    tissue = shard.label[np.argsort(shard.source), CLASSES.index("tissue")]
    assert tissue.tolist() == [0, -1, -1, -1, -1, -1]
    assert (shard.label[:, CLASSES.index("disease")] == -1).all()


def test_neighbors_are_renumbered_with_their_distances_and_stay_in_their_split(adata, shard):
    validation = splits(shard)
    rows_by_source = np.argsort(shard.source)
    for row in range(len(shard)):
        old = adata.obsm["neighbor"][shard.source[row]]
        kept = validation[rows_by_source[old]] == validation[row]
        number = kept.sum()
        assert np.array_equal(shard.neighbor[row, :number], rows_by_source[old[kept]])
        assert (shard.neighbor[row, number:] == -1).all()
        expected = adata.obsm["neighbor_distance"][shard.source[row]][kept]
        np.testing.assert_allclose(shard.distance[row, :number], expected, rtol=1e-3)


def test_validation_cells_get_their_neighbors_among_validation_cells(tmp_path):
    adata = processed_cells(cells=300, genes=GENES)
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    shard = written(adata, tmp_path / "shard", validation_share=0.2)
    first = shard.header["training_cells"]
    points = adata.obsm["X_pca"][shard.source[first:]]
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert np.array_equal(shard.neighbor[first:], np.argsort(distance, axis=1)[:, :6] + first)
    np.testing.assert_allclose(shard.distance[first:], np.sort(distance, axis=1)[:, :6], rtol=2e-3)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
def test_the_validation_share_holds_and_never_takes_a_whole_stratum(tmp_path, share):
    shard = written(processed_cells(cells=3000, genes=GENES), tmp_path / "shard", validation_share=share)
    assert abs(splits(shard).mean() - share) < 0.01
    per_stratum = shard.stratum_cells.sum(axis=2)
    assert (per_stratum[0] > 0).all()
    expected = share * per_stratum.sum(axis=0)
    assert (np.abs(per_stratum[1] - expected) <= 1).all()


def test_the_share_holds_over_small_strata_and_single_cells_are_trained_on(tmp_path):
    adata = processed_cells(cells=2000, genes=GENES)
    adata.obs["cluster"] = [str(cell // 4) if cell < 1600 else f"alone_{cell}" for cell in range(2000)]
    shard = written(adata, tmp_path / "shard", validation_share=0.2)
    size = shard.stratum_cells.sum(axis=(0, 2))
    taken = shard.stratum_cells[1].sum(axis=1)
    assert taken[size == 1].sum() == 0
    assert abs(taken[size > 1].sum() / size[size > 1].sum() - 0.2) < 0.03


def test_the_split_does_not_depend_on_the_order_of_the_cells(adata, shard, tmp_path):
    order = np.random.default_rng(1).permutation(adata.n_obs)
    shuffled = adata[order].copy()
    shuffled.obsm["neighbor"] = np.argsort(order)[shuffled.obsm["neighbor"]].astype(np.int32)
    other = written(shuffled, tmp_path / "shard")
    first = shard.header["training_cells"]
    assert set(shard.source[first:]) == set(order[other.source[first:]])


def test_the_same_cells_give_the_same_bytes(adata, shard, tmp_path):
    assert written(adata, tmp_path / "again").header_sha256 == shard.header_sha256


def test_hash_of_a_cell_sees_its_counts_alone():
    indptr, gene, count = np.array([0, 3, 3, 5]), np.array([1, 5, 7, 5, 1]), np.array([2, 4, 0, 4, 2])
    hashes = hash_rows(indptr, gene, count)
    assert hashes[0] == hashes[2]
    assert hashes[0] != hashes[1]
    assert hash_rows(np.array([0, 2]), np.array([1, 5]), np.array([4, 2]))[0] != hashes[0]


@pytest.fixture
def copy(shard, tmp_path):
    return shutil.copytree(shard.folder, tmp_path / "copy")


def test_a_damaged_array_is_found_by_name(copy, shard):
    for name, entry in shard.header["arrays"].items():
        content = bytearray((shard.folder / "arrays.bin").read_bytes())
        content[entry["offset"]] ^= 1
        (copy / "arrays.bin").write_bytes(content)
        damaged = Shard.open(copy) if name != "indptr" else None
        if damaged is None:
            with pytest.raises(ValueError, match="indptr does not fit"):
                Shard.open(copy)
        else:
            with pytest.raises(ValueError, match=f"array '{name}' is damaged"):
                damaged.verify()
    shard.verify()


def break_header(copy, **changes):
    file = copy / "header.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda copy: (copy / "header.json").unlink(), "no header.json"),
        (lambda copy: (copy / "header.json").write_text("{"), "not JSON"),
        (lambda copy: (copy / "header.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
        (lambda copy: (copy / "header.json").write_text("[]"), "not the header of a shard"),
        (lambda copy: break_header(copy, version=99), "version 99"),
        (lambda copy: break_header(copy, surprise=1), "surprise"),
        (lambda copy: (copy / "arrays.bin").unlink(), "-1 bytes"),
        (lambda copy: (copy / "arrays.bin").write_bytes(b"0" * 100), "100 bytes"),
    ],
)
def test_a_broken_shard_is_refused_when_opened(copy, harm, message):
    harm(copy)
    with pytest.raises(ValueError, match=message):
        Shard.open(copy)


def test_a_failed_write_leaves_the_old_shard_and_nothing_else(adata, tmp_path, monkeypatch):
    old = written(adata, tmp_path / "shard").header_sha256
    monkeypatch.setattr(shard_writer, "write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    other = processed_cells(cells=50, genes=GENES)
    with pytest.raises(OSError, match="disk full"):
        write_shard(other, tmp_path / "shard", gene_ids=gene_ids(HUMAN, GENES), validation_share=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["shard"]
    assert Shard.open(tmp_path / "shard").header_sha256 == old


def test_an_older_shard_is_replaced_whole(adata, tmp_path):
    written(processed_cells(cells=50, genes=GENES), tmp_path / "shard")
    (tmp_path / "shard" / "stray").write_text("")
    assert len(written(adata, tmp_path / "shard")) == 400
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["arrays.bin", "header.json", "shard"]


def with_counts(adata, value):
    matrix = adata.X.astype(np.float64).tolil()
    matrix[0, 0] = value
    adata.X = matrix.tocsr()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda adata: with_counts(adata, -1), "no counts"),
        (lambda adata: with_counts(adata, 0.5), "no counts"),
        (lambda adata: with_counts(adata, np.nan), "no counts"),
        (lambda adata: with_counts(adata, 2.0**31), "no counts"),
        (lambda adata: setattr(adata, "var_names", ["x", *adata.var_names[1:]]), r"\['x'\] are not in the gene table"),
        (lambda adata: adata.obs.pop("cluster"), "no column 'cluster'"),
        (lambda adata: adata.uns["scprint2"].pop("dataset"), "no 'dataset'"),
        (lambda adata: adata.obsm["neighbor"].__setitem__((0, 0), 99), "row 99 of 20 cells"),
    ],
)
def test_cells_that_are_not_as_preprocessing_leaves_them_are_refused(tmp_path, harm, message):
    adata = processed_cells(cells=20, genes=GENES)
    harm(adata)
    with pytest.raises(ValueError, match=message):
        written(adata, tmp_path / "shard")
    assert not (tmp_path / "shard").exists()


def test_no_cells_and_impossible_shares_are_refused(tmp_path):
    adata = processed_cells(cells=20, genes=GENES)
    with pytest.raises(ValueError, match="no cells"):
        written(adata[:0].copy(), tmp_path / "shard")
    with pytest.raises(ValueError, match="validation share 1"):
        written(adata, tmp_path / "shard", validation_share=1.0)


def test_cells_without_counts_are_stored(tmp_path):
    adata = processed_cells(cells=10, genes=GENES)
    adata.X = scipy.sparse.csr_matrix((10, GENES), dtype=np.int32)
    shard = written(adata, tmp_path / "shard")
    shard.verify()
    assert shard.counts().nnz == 0


def mappings_of(folder):
    return Path("/proc/self/maps").read_text().count(f"{folder}/arrays.bin")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc, which Linux has")
def test_an_open_shard_is_one_mapping_and_no_open_file_until_nobody_looks_at_it(adata, tmp_path):
    """A corpus of 26,000 shards has to fit into the limits of a process."""
    written(adata, tmp_path / "shard")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    shards = [Shard.open(tmp_path / "shard") for _ in range(3)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert mappings_of(tmp_path / "shard") == 3
    kept = shards[0].gene
    expected = kept.copy()
    del shards
    gc.collect()
    assert mappings_of(tmp_path / "shard") == 1
    shutil.rmtree(tmp_path / "shard")
    assert np.array_equal(kept, expected)


def test_a_mapped_shard_cannot_be_written_to(shard):
    with pytest.raises(ValueError, match="read-only"):
        shard.gene[0] = 1
