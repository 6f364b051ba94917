import gzip

import pytest

from scprint2.data.genes import build_gene_table
from scprint2.data.truth import read_truth
from tests.data.raw import HUMAN, gene_table, real_data


def truth(folder, text, *, name="truth.tsv", zipped=False):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "regulator\ttarget\nENSG00000000001\tENSG00000000002\nENSG00000000003\tENSG00000000004\n",
        "GENE1\tGENE2\nGENE3\tGENE4\n",
        "source,target,weight\nGENE1,GENE2,1\nGENE3,GENE4,-1\n",
        "weight,target,source\n1,OLD2,GENE1\n1,GENE4,ENSG00000000003.7\n",
    ],
)
def test_every_format_gives_the_same_edges(tmp_path, text, zipped):
    edges = read_truth(truth(tmp_path, text, zipped=zipped), gene_table())
    assert list(edges.columns) == ["regulator", "target"]
    assert edges.to_numpy().tolist() == [["ENSG00000000001", "ENSG00000000002"], ["ENSG00000000003", "ENSG00000000004"]]


def test_loops_repetitions_and_unknown_genes_are_left_out_and_counted(tmp_path):
    text = "GENE1\tGENE2\nGENE1\tGENE2\nENSG00000000001\tGENE2\nGENE5\tGENE5\nGENE1\tnothing\nGENE2\tGENE1\n"
    edges = read_truth(truth(tmp_path, text), gene_table())
    assert edges.to_numpy().tolist() == [["ENSG00000000001", "ENSG00000000002"], ["ENSG00000000002", "ENSG00000000001"]]
    assert edges.attrs == {"edges_read": 6, "edges_kept": 2, "edges_unknown": 1}


def test_another_organisms_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"0.0% of 2 edges.*not found: \['Gata1'.*another organism"):
        read_truth(truth(tmp_path, "Gata1\tTal1\nGata1\tHbb\n"), gene_table())


@pytest.mark.parametrize("text", ["", "one column\n", "a\tb\nc\n"])
def test_a_file_without_two_columns_is_refused(tmp_path, text):
    with pytest.raises(ValueError, match="needs a regulator and a target"):
        read_truth(truth(tmp_path, text), gene_table())


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "known"),
    [("grn_mccalla/gold_standards/hESC_KDUnion.txt.gz", 0.5), ("networks/collectri_human.csv.gz", 0.9)],
)
def test_real_networks_map_to_the_genes_of_ensembl(file, known):
    folder = real_data()
    table = build_gene_table(folder / "genes/ensembl109_homo_sapiens.tsv.gz", organism=HUMAN)
    edges = read_truth(folder / file, table)
    assert edges.attrs["edges_unknown"] < (1 - known) * edges.attrs["edges_read"]
    assert set(edges["regulator"]) | set(edges["target"]) <= set(table.frame["gene_id"])
    assert not edges.duplicated().any()
