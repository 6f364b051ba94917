import gzip
from itertools import combinations

import networkx
import numpy as np
import pandas as pd
import pytest

from scprint2.data.orthologs import build_families, read_families, read_homologies, write_families
from tests.data.raw import real_data

HUMAN, MOUSE, RAT, FISH = "NCBITaxon:9606", "NCBITaxon:10090", "NCBITaxon:10116", "NCBITaxon:7955"
SPECIES = {"homo_sapiens": HUMAN, "mus_musculus": MOUSE, "rattus_norvegicus": RAT}
HEADER = (
    "gene_stable_id\tprotein_stable_id\tspecies\tidentity\thomology_type\thomology_gene_stable_id\thomology_protein_stable_id\t"
    "homology_species\thomology_identity\tdn\tds\tgoc_score\twga_coverage\tis_high_confidence\thomology_id"
)


def line(
    one, other, *, kind="ortholog_one2one", confident="1", species=("homo_sapiens", "mus_musculus"), identity="80"
):
    fields = (one, f"{one}P", species[0], identity, kind, other, f"{other}P", species[1], identity)
    return "\t".join((*fields, "NULL", "NULL", "100", "99.5", confident, "1"))


def homologies(folder, *lines, header=HEADER, name="Compara.114.protein_default.homologies.tsv.gz"):
    path = folder / name
    path.write_bytes(gzip.compress(("\n".join((header, *lines)) + "\n").encode()))
    return path


def pairs(*rows):
    frame = pd.DataFrame(rows, columns=["gene_a", "gene_b", "identity"])
    organisms = {"H": HUMAN, "M": MOUSE, "R": RAT, "F": FISH}
    return frame.assign(
        organism_a=[organisms[gene[0]] for gene in frame["gene_a"]],
        organism_b=[organisms[gene[0]] for gene in frame["gene_b"]],
    )


def test_only_one_to_one_orthologs_of_high_confidence_between_wanted_organisms_are_read(tmp_path):
    found = read_homologies(
        homologies(
            tmp_path,
            line("H1", "M1", identity="90"),
            line("H2", "M2", kind="ortholog_one2many"),
            line("H3", "M3", confident="0"),
            line("H4", "M4", confident="NULL"),
            line("H5", "D5", species=("homo_sapiens", "danio_rerio")),
            line("H6", "H7", species=("homo_sapiens", "homo_sapiens"), kind="within_species_paralog"),
            line("H8", "R8", species=("homo_sapiens", "rattus_norvegicus")),
        ),
        species=SPECIES,
    )
    assert found[["gene_a", "gene_b", "identity"]].to_numpy().tolist() == [["M1", "H1", 90.0], ["R8", "H8", 80.0]]
    assert found["organism_a"].tolist() == [MOUSE, RAT]


def test_a_pair_is_the_same_from_both_sides(tmp_path):
    one = read_homologies(homologies(tmp_path, line("H1", "M1")), species=SPECIES)
    other = line("M1", "H1", species=("mus_musculus", "homo_sapiens"))
    pd.testing.assert_frame_equal(one, read_homologies(homologies(tmp_path, other), species=SPECIES))


def test_a_file_of_another_format_or_without_orthologs_is_handled(tmp_path):
    with pytest.raises(ValueError, match=r"no columns \['is_high_confidence'\]; found .*Give Compara"):
        read_homologies(
            homologies(tmp_path, header=HEADER.replace("is_high_confidence", "confidence")), species=SPECIES
        )
    assert read_homologies(homologies(tmp_path, line("H1", "M1", confident="0")), species=SPECIES).empty


def test_without_conflicts_families_are_the_connected_components():
    rng = np.random.default_rng(0)
    rows = [
        (f"H{gene}", f"{other}{gene}", float(rng.integers(40, 100)))
        for gene in range(200)
        for other in "MRF"
        if rng.random() < 0.6
    ]
    rows += [(f"M{gene}", f"R{gene}", 95.0) for gene in range(200) if rng.random() < 0.3]
    found = build_families(pairs(*rows)).genes
    graph = networkx.Graph([row[:2] for row in rows])
    expected = {frozenset(component) for component in networkx.connected_components(graph)}
    assert {frozenset(genes) for _, genes in found.groupby("family")["gene_id"]} == expected
    assert (
        found.groupby("family")["gene_id"].min() == found["family"].drop_duplicates().sort_values().to_numpy()
    ).all()


def test_a_pair_that_would_join_two_genes_of_one_organism_is_refused_the_least_similar_one_and_counted():
    rows = [("H1", "M1", 90.0), ("M1", "R1", 95.0), ("H2", "R1", 60.0), ("H2", "M2", 70.0)]
    families = build_families(pairs(*rows))
    members = {frozenset(genes) for _, genes in families.genes.groupby("family")["gene_id"]}
    assert members == {frozenset({"H1", "M1", "R1"}), frozenset({"H2", "M2"})}
    audit = families.audit.set_index(["organism_a", "organism_b"])
    assert audit["refused"].sum() == 1
    assert audit.loc[(HUMAN, RAT), "refused"] == 1


def test_families_hold_one_gene_per_organism_and_do_not_depend_on_the_order_of_pairs():
    rng = np.random.default_rng(1)
    genes = [f"{kind}{number}" for kind in "HMRF" for number in range(30)]
    rows = [
        (a, b, float(rng.integers(30, 100))) for a, b in combinations(genes, 2) if a[0] != b[0] and rng.random() < 0.02
    ]
    one = build_families(pairs(*rows))
    other = build_families(pairs(*[rows[place] for place in rng.permutation(len(rows))]))
    pd.testing.assert_frame_equal(one.genes, other.genes)
    assert not one.genes.duplicated(["family", "organism"]).any()
    assert one.audit["refused"].sum() > 0
    assert (one.audit["joined"] + one.audit["refused"] == one.audit["pairs"]).all()


def test_families_survive_the_way_through_a_file(tmp_path):
    families = build_families(pairs(("H1", "M1", 90.0)))
    write_families(families, genes=tmp_path / "families.tsv", audit=tmp_path / "audit.tsv")
    assert read_families(tmp_path / "families.tsv") == {"H1": "H1", "M1": "H1"}
    assert pd.read_csv(tmp_path / "audit.tsv", sep="\t")["pairs"].tolist() == [1]


@pytest.mark.real_data
def test_real_one_to_one_pairs_make_as_many_families():
    families = read_families(real_data() / "genes/orthologs/human_mouse_one2one_ensembl.tsv.gz")
    assert len(families) == 2 * 16_289
    assert len(set(families.values())) == 16_289
