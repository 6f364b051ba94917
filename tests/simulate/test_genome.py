import numpy as np
import pytest

from scprint2.data.genes import build_gene_table
from scprint2.simulate.corpus import write_table
from scprint2.simulate.genome import is_own

HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"


def test_most_genes_have_a_one_to_one_ortholog_and_some_are_an_organisms_own(world):
    families = {o: g.frame[g.frame["biotype"] == "protein_coding"]["family"] for o, g in world.genomes.items()}
    single = {o: set(f[~f.duplicated(keep=False)]) for o, f in families.items()}
    one_to_one = single[HUMAN] & single[MOUSE]
    assert 0.75 * 800 < len(one_to_one) < 800
    for organism, other in ((HUMAN, MOUSE), (MOUSE, HUMAN)):
        assert set(families[organism]) - set(families[other])
        assert families[organism].duplicated().any()


def test_gene_ids_and_symbols_are_unique_and_look_like_ensembls(world):
    for organism, prefix in ((HUMAN, "ENSG9"), (MOUSE, "ENSMUSG9")):
        frame = world.genomes[organism].frame
        assert frame["gene_id"].str.fullmatch(prefix + r"\d{10}").all()
        assert frame["gene_id"].is_unique
        assert frame["symbol"].is_unique


def test_orthologs_lie_closer_in_the_embedding_than_other_genes(world):
    vectors = world.embedding.to_numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    human, mouse = (world.genomes[o].frame["gene_id"][:800] for o in (HUMAN, MOUSE))
    row = {gene: n for n, gene in enumerate(world.embedding.index)}
    similarity = vectors[[row[g] for g in human]] @ vectors[[row[g] for g in mouse]].T
    shared = ~is_own(world.settings, HUMAN)
    assert np.median(np.diag(similarity)[shared]) > 0.8
    assert (similarity.argmax(1)[shared] == np.flatnonzero(shared)).mean() > 0.95
    assert abs(np.median(similarity)) < 0.3


def test_some_genes_share_a_location_and_most_do_not(world):
    table = world.genomes[HUMAN].table()
    gaps = table.groupby("chromosome")["start"].diff().dropna()
    assert 0.2 < (gaps <= 10_000).mean() < 0.5
    assert (gaps > 0).all()


@pytest.mark.parametrize("organism", [HUMAN, MOUSE])
def test_the_raw_gene_table_becomes_a_normalized_one(world, organism, tmp_path):
    write_table(world.genomes[organism].table(), tmp_path / "genes.tsv.gz")
    table = build_gene_table(tmp_path / "genes.tsv.gz", organism=organism)
    assert len(table) == world.settings.genes
    assert table.frame["is_tf"].sum() == world.settings.transcription_factors
    assert set(table.frame["family"]) == set(world.genomes[organism].frame["family"][: world.settings.genes])
