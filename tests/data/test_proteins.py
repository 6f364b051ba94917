import gzip

import pytest

from scprint2.data.proteins import choose_proteins, read_fasta, read_proteins, write_proteins
from tests.data.raw import real_data

# As Ensembl 114 and Ensembl Plants 61 write them.
ENSEMBL = """>ENSP00000493376.2 pep chromosome:GRCh38:1:65419:71585:1 gene:ENSG00000186092.7 transcript:ENST00000641515.2 \
gene_biotype:protein_coding transcript_biotype:protein_coding gene_symbol:OR4F5 description:olfactory receptor [Source:HGNC]
MKKVTAEAISW
NESTSETNNSM
>ENSP00000000002.1 pep chromosome:GRCh38:1:1:2:1 gene:ENSG00000186092.7 transcript:ENST00000000002.1 \
gene_biotype:protein_coding transcript_biotype:protein_coding gene_symbol:OR4F5
MKKVTAEAISWNESTSETNNSMVVVV
>ENSP00000000003.1 pep chromosome:GRCh38:1:1:2:1 gene:ENSG00000000009.1 transcript:ENST00000000003.1 \
gene_biotype:protein_coding transcript_biotype:nonsense_mediated_decay
MAAAAAAAAAAAAAAAAAAA
>ENSP00000000005.1 pep chromosome:GRCh38:1:1:2:1 gene:ENSG00000000009.1 transcript:ENST00000000005.1 \
gene_biotype:protein_coding transcript_biotype:protein_coding
MCCC*
>ENSP00000000004.1 pep chromosome:GRCh38:1:1:2:1 gene:ENSG00000000009.1 transcript:ENST00000000004.1 \
gene_biotype:protein_coding transcript_biotype:protein_coding
MC*JU
"""
GENES = ["ENSG00000186092", "ENSG00000000009", "ENSG00000000042"]


def fasta(folder, text=ENSEMBL, name="pep.all.fa.gz"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["pep.all.fa", "pep.all.fa.gz"])
def test_entries_of_ensembl_are_read_without_versions_and_in_the_alphabet_of_the_model(tmp_path, name):
    entries = list(read_fasta(fasta(tmp_path, name=name)))
    assert [entry.protein for entry in entries][:2] == ["ENSP00000493376", "ENSP00000000002"]
    assert (entries[0].gene, entries[0].transcript) == ("ENSG00000186092", "ENST00000641515")
    assert entries[0].sequence == "MKKVTAEAISWNESTSETNNSM"
    assert [entry.coding for entry in entries] == [True, True, False, True, True]
    assert [entry.sequence for entry in entries[3:]] == ["MCCC", "MCXXU"], (
        "a stop at the end falls off, one inside is unknown"
    )


def test_the_canonical_protein_stands_for_a_gene_else_the_longest_of_coding_transcripts(tmp_path):
    path = fasta(tmp_path)
    found = choose_proteins(read_fasta(path), genes=GENES, canonical={"ENST00000641515"})
    assert found.table[["gene_id", "protein_id", "chosen"]].to_numpy().tolist() == [
        ["ENSG00000186092", "ENSP00000493376", "canonical"],
        ["ENSG00000000009", "ENSP00000000004", "longest"],
    ]
    assert found.missing == ("ENSG00000000042",)
    longest = choose_proteins(read_fasta(path), genes=GENES, canonical=())
    assert longest.table["protein_id"].tolist() == ["ENSP00000000002", "ENSP00000000004"]


def test_ids_of_plants_with_versions_are_found(tmp_path):
    text = ">Solyc01g005000.3.1 pep primary_assembly:SL3.0:1:1:2:1 gene:Solyc01g005000.3 transcript:Solyc01g005000.3.1\nMA\n"
    found = choose_proteins(read_fasta(fasta(tmp_path, text)), genes=["Solyc01g005000.3"], canonical=())
    assert found.table["gene_id"].tolist() == ["Solyc01g005000.3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no protein"),
        ("<html>", "begins with '<html>', not with '>'"),
        (">A\n>B\nMK\n", "protein 'A' has no residues"),
    ],
)
def test_a_file_that_is_no_fasta_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        list(read_fasta(fasta(tmp_path, text)))


def test_proteins_of_another_organism_are_refused_with_what_they_are(tmp_path):
    with pytest.raises(
        ValueError, match=r"no protein is one of the 1 genes \(\['ENSMUSG1'\]\).*such as 'ENSG00000186092'"
    ):
        choose_proteins(read_fasta(fasta(tmp_path)), genes=["ENSMUSG1"], canonical=())


def test_a_table_survives_the_way_through_a_file_and_a_bad_one_is_refused(tmp_path):
    table = choose_proteins(read_fasta(fasta(tmp_path)), genes=GENES, canonical=()).table
    write_proteins(table, tmp_path / "proteins.tsv")
    assert read_proteins(tmp_path / "proteins.tsv").equals(table)
    write_proteins(table.assign(gene_id="same"), tmp_path / "twice.tsv")
    with pytest.raises(ValueError, match="1 genes are given twice or have no sequence, such as 'same'"):
        read_proteins(tmp_path / "twice.tsv")
    write_proteins(table.drop(columns="chosen"), tmp_path / "columns.tsv")
    with pytest.raises(ValueError, match="columns are"):
        read_proteins(tmp_path / "columns.tsv")


@pytest.mark.real_data
def test_real_proteins_are_read_by_gene():
    path = real_data() / "proteins/human_proteins_string_subset.fasta.gz"
    entries = {entry.gene: entry for entry in read_fasta(path)}
    assert len(entries) == 4_019
    assert entries["ENSG00000001626"].sequence.startswith("MQRSPLEKASVVSKLFFSWTRPILRKGYRQRLELSD")  # CFTR
    assert len(entries["ENSG00000001626"].sequence) == 1_480
    found = choose_proteins(read_fasta(path), genes=list(entries), canonical=())
    assert (len(found.table), found.missing) == (4_019, ())
