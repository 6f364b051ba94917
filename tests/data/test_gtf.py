import gzip

import pytest

from scprint2.data.genes import build_gene_table
from scprint2.data.gtf import canonical_transcripts, read_genes
from tests.data.raw import HUMAN

# Lines as Ensembl 114 writes them (human, zebrafish), GENCODE 48 and Ensembl Plants 61.
ENSEMBL = """#!genome-build GRCh38.p14
#!genome-version GRCh38
1\tensembl_havana\tgene\t3069168\t3438621\t.\t+\t.\tgene_id "ENSG00000142611"; gene_version "17"; gene_name "PRDM16"; \
gene_source "ensembl_havana"; gene_biotype "protein_coding";
1\tensembl_havana\ttranscript\t3069168\t3438621\t.\t+\t.\tgene_id "ENSG00000142611"; gene_version "17"; \
transcript_id "ENST00000270722"; transcript_version "10"; gene_name "PRDM16"; gene_biotype "protein_coding"; \
transcript_name "PRDM16-201"; tag "basic"; tag "Ensembl_canonical"; tag "MANE_Select";
1\tensembl_havana\ttranscript\t3069203\t3438621\t.\t+\t.\tgene_id "ENSG00000142611"; gene_version "17"; \
transcript_id "ENST00000378391"; transcript_version "6"; gene_name "PRDM16"; gene_biotype "protein_coding"; tag "basic";
1\tensembl_havana\texon\t3069168\t3069296\t.\t+\t.\tgene_id "ENSG00000142611"; transcript_id "ENST00000270722"; exon_number "1";
1\thavana\tgene\t5492978\t5494674\t.\t+\t.\tgene_id "ENSG00000284616"; gene_version "1"; gene_source "havana"; \
gene_biotype "lncRNA";
KI270728.1\tensembl\tgene\t28209\t28385\t.\t+\t.\tgene_id "ENSG00000277475"; gene_version "1"; gene_source "ensembl"; \
gene_biotype "protein_coding";
"""
GENCODE = """##description: evidence-based annotation
chr1\tHAVANA\tgene\t65419\t71585\t.\t+\t.\tgene_id "ENSG00000186092.7"; gene_type "protein_coding"; gene_name "OR4F5"; level 2;
"""
PLANTS = """1\taraport11\tgene\t3631\t5899\t.\t+\t.\tgene_id "AT1G01010"; gene_name "NAC001"; gene_source "araport11"; \
gene_biotype "protein_coding";
1\tsgn\tgene\t500\t900\t.\t-\t.\tgene_id "Solyc01g005000.3"; gene_source "sgn"; gene_biotype "protein_coding";
"""


def gtf(folder, text, name="genes.gtf.gz"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["genes.gtf", "genes.gtf.gz"])
def test_genes_of_ensembl_are_read_and_one_without_a_name_has_none(tmp_path, name):
    frame = read_genes(gtf(tmp_path, ENSEMBL, name))
    assert frame.to_numpy().tolist() == [
        ["ENSG00000142611", "PRDM16", "protein_coding", "1", 3069168],
        ["ENSG00000284616", "", "lncRNA", "1", 5492978],
        ["ENSG00000277475", "", "protein_coding", "KI270728.1", 28209],
    ]


def test_genes_of_gencode_lose_their_version_and_plants_keep_their_ids(tmp_path):
    assert build_gene_table(gtf(tmp_path, GENCODE), organism=HUMAN).frame["gene_id"].tolist() == ["ENSG00000186092"]
    plants = build_gene_table(gtf(tmp_path, PLANTS), organism="NCBITaxon:3702").frame
    assert plants["gene_id"].tolist() == ["AT1G01010", "Solyc01g005000.3"]
    assert plants["symbol"].tolist() == ["NAC001", ""]


def test_canonical_transcripts_are_those_with_the_tag(tmp_path):
    assert canonical_transcripts(gtf(tmp_path, ENSEMBL)) == {"ENST00000270722"}
    assert canonical_transcripts(gtf(tmp_path, PLANTS)) == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line describes a gene"),
        (GENCODE.replace("\tgene\t", "\texon\t"), "no line describes a gene"),
        (GENCODE.replace('gene_id "ENSG00000186092.7"; ', ""), "line 2: a gene needs a gene_id and a start"),
        (GENCODE.replace("65419", "x"), "line 2: a gene needs a gene_id and a start"),
    ],
)
def test_a_file_without_genes_or_a_gene_without_id_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_genes(gtf(tmp_path, text))


def test_a_cut_file_is_an_error_and_no_shorter_table(tmp_path):
    path = gtf(tmp_path, ENSEMBL * 50)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(EOFError):
        read_genes(path)
