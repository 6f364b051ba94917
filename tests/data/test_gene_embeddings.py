import numpy as np
import pandas as pd
import pytest
import torch

from scprint2.data.gene_embeddings import average_pool, gene_embedding
from scprint2.data.protein_embeddings import write_vectors
from scprint2.data.vocabulary import GeneVocabulary


def vocabulary(families):
    genes = [f"G{number}" for number in range(len(families))]
    frame = {
        "organism": "NCBITaxon:9606",
        "gene_id": genes,
        "symbol": genes,
        "location": 0,
        "family": families,
        "is_tf": False,
    }
    return GeneVocabulary(pd.DataFrame(frame))


def table(folder, vectors, genes):
    path = folder / "vectors.parquet"
    pd.DataFrame(vectors, index=genes).rename(columns=str).to_parquet(path)
    return path


@pytest.mark.parametrize(("source", "dim"), [(12, 4), (1152, 256), (7, 3), (4, 8)])
def test_pooling_is_that_of_torch(source, dim):
    vectors = np.random.default_rng(0).normal(size=(5, source)).astype(np.float32)
    expected = torch.nn.functional.adaptive_avg_pool1d(torch.from_numpy(vectors)[None], dim)[0]
    np.testing.assert_allclose(average_pool(vectors, dim), expected, atol=1e-5)


def test_without_a_table_orthologs_share_a_vector_and_the_source_says_so():
    found = gene_embedding(vocabulary(["a", "b", "a"]), table=None, dim=64, seed=0)
    assert np.array_equal(found.values[0], found.values[2])
    assert abs(np.corrcoef(found.values[0], found.values[1])[0, 1]) < 0.5
    assert "random" in found.source
    assert "seed 0" in found.source


def test_a_random_vector_depends_on_seed_and_family_alone():
    alone = gene_embedding(vocabulary(["b"]), table=None, dim=8, seed=3).values[0]
    among = gene_embedding(vocabulary(["a", "b", "c"]), table=None, dim=8, seed=3).values[1]
    other = gene_embedding(vocabulary(["b"]), table=None, dim=8, seed=4).values[0]
    assert np.array_equal(alone, among)
    assert not np.array_equal(alone, other)


def test_a_table_is_pooled_and_standardized_and_missing_genes_are_counted(tmp_path):
    vectors = np.random.default_rng(0).normal(5, 3, size=(200, 32)).astype(np.float32)
    genes = [f"G{number}" for number in range(200)]
    found = gene_embedding(vocabulary(["x"] + ["y"] * 200), table=table(tmp_path, vectors, genes), dim=16, seed=0)
    inside = found.values[:200]
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-4)
    expected = average_pool(vectors, 16)
    assert np.corrcoef(inside[:, 0], expected[:, 0])[0, 1] == pytest.approx(1, abs=1e-5)
    assert "1 of 201 genes" in found.source
    assert "vectors.parquet, 32 columns" in found.source


GOOD = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.mark.parametrize(
    ("vectors", "genes", "message"),
    [
        (
            np.where(GOOD == 5, np.nan, GOOD),
            ["G0", "G1"],
            r"1 genes have values that are NaN or infinite, such as 'G1'; leave",
        ),
        (GOOD, ["G0", "G0"], "1 genes are given more than once, such as 'G0'; keep one row each"),
        (GOOD, [0, 1], "its index holds 0, not gene ids. Set the column of gene ids as index"),
        (
            GOOD.astype(str),
            ["G0", "G1"],
            r"its columns must hold numbers, .* found 4, of which \['0', '1', '2', '3'\]",
        ),
        (GOOD[:, :0], ["G0", "G1"], "its columns must hold numbers, at least one; found 0"),
        (
            GOOD,
            ["G0.3", "G1.12"],
            r"its gene ids carry versions \('G0.3'\); needed are ids without, such as 'G0'. Strip them",
        ),
        (GOOD, ["other", "more"], r"holds none of the 1 genes; it names \['other', 'more'\], needed are \['G0'\]"),
    ],
)
def test_a_bad_table_of_a_user_is_refused_with_one_clear_error(tmp_path, vectors, genes, message):
    with pytest.raises(ValueError, match=f"vectors.parquet: {message}"):
        gene_embedding(vocabulary(["x"]), table=table(tmp_path, vectors, genes), dim=2, seed=0)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "vectors.parquet").write_text("gene_id,0,1")
    with pytest.raises(ValueError, match="cannot be read as parquet .*Give gene ids as index"):
        gene_embedding(vocabulary(["x"]), table=tmp_path / "vectors.parquet", dim=2, seed=0)


@pytest.mark.parametrize("width", [1536, 1152, 1280, 960])
def test_tables_of_any_width_are_taken_and_the_model_that_made_them_is_named(tmp_path, width):
    vectors = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    path = tmp_path / "vectors.parquet"
    write_vectors(pd.DataFrame(vectors, index=["G0", "G1", "G2"]), path, record={"model": "esm", "sha256": "12ab"})
    found = gene_embedding(vocabulary(["x", "y", "z", "w"]), table=path, dim=256, seed=0)
    assert found.values.shape == (4, 256)
    assert found.source == (
        f"vectors.parquet, {width} columns; model esm, sha256 12ab; "
        "1 of 4 genes are not in it and have seeded random vectors (seed 0)"
    )
