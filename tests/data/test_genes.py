import gzip

import numpy as np
import pandas as pd
import pytest

from scprint2.data.genes import (
    build_gene_table,
    build_gene_vocabulary,
    genome_locations,
    map_genes,
    read_gene_table,
    write_gene_table,
)
from tests.data.raw import HUMAN, MOUSE, gene_table, real_data

ENSEMBL = """ensembl_id	symbol	chromosome	start	biotype
ENSG3	CC	2	100	protein_coding
ENSG1	AA	1	5000	protein_coding
ENSG9	NC	1	14000	lncRNA
ENSG2	BB	1	23999	protein_coding
ENSG4	DD	10	1	protein_coding
ENSG5	BB	X	1	protein_coding
"""


def raw(folder, text=ENSEMBL, name="genes.tsv"):
    (folder / name).write_text(text)
    return folder / name


def test_locations_grow_where_the_next_gene_starts_more_than_10_kb_on_and_at_a_new_chromosome():
    chromosomes = ["1", "1", "1", "1", "2", "10", "X"]
    starts = np.array([0, 10_000, 20_001, 20_001, 5, 5, 5])
    assert genome_locations(chromosomes, starts).tolist() == [0, 0, 1, 1, 2, 3, 4]


def test_locations_do_not_depend_on_the_order_of_the_table():
    rng = np.random.default_rng(0)
    chromosomes, starts = rng.choice(["1", "2", "X"], 50), rng.integers(0, 300_000, 50)
    order = rng.permutation(50)
    assert np.array_equal(
        genome_locations(chromosomes[order].tolist(), starts[order]),
        genome_locations(chromosomes.tolist(), starts)[order],
    )


def test_a_table_without_coordinates_has_location_0_everywhere():
    assert genome_locations(["", "", ""], np.array([-1, -1, -1])).tolist() == [0, 0, 0]


def test_only_protein_coding_genes_are_kept_but_all_genes_make_locations(tmp_path):
    frame = build_gene_table(raw(tmp_path), organism=HUMAN).frame
    assert frame["gene_id"].tolist() == ["ENSG3", "ENSG1", "ENSG2", "ENSG4", "ENSG5"]
    # 5000 -> 14000 (not coding) -> 23999 are steps of less than 10 kb: the same index; without ENSG9 they would differ
    assert frame["location"].tolist() == [1, 0, 0, 2, 3]


def test_transcription_factors_are_found_by_id_or_symbol_and_pairs_of_orthologs_share_a_family(tmp_path):
    factors = raw(tmp_path, "ENSG3\nAA\nNONE\n", "factors.txt")
    pairs = raw(
        tmp_path, "human_ensembl\tmouse_ensembl\nENSG1\tENSMUSG7\nENSG3\tENSMUSG8\nENSG4\tENSMUSG8\n", "pairs.tsv"
    )
    table = build_gene_table(raw(tmp_path), organism=HUMAN, transcription_factors=factors, families=pairs).frame
    assert table.loc[table["is_tf"], "gene_id"].tolist() == ["ENSG3", "ENSG1"]
    assert table.set_index("gene_id")["family"].to_dict() == {
        "ENSG1": "ENSG1", "ENSG2": "ENSG2", "ENSG3": "ENSG3", "ENSG4": "ENSG4", "ENSG5": "ENSG5",
    }, "a second human gene does not enter the family of ENSMUSG8"  # fmt: skip
    mouse = raw(tmp_path, "gene_id\tsymbol\tbiotype\nENSMUSG7\tAa\tprotein_coding\n", "mouse.tsv")
    assert build_gene_table(mouse, organism=MOUSE, families=pairs).frame["family"].tolist() == ["ENSG1"]


def test_a_family_table_is_read_by_its_columns(tmp_path):
    families = raw(tmp_path, "gene_id\tfamily\nENSG1\tfam_7\n", "families.tsv")
    frame = build_gene_table(raw(tmp_path), organism=HUMAN, families=families).frame
    assert frame["family"].tolist() == ["ENSG3", "fam_7", "ENSG2", "ENSG4", "ENSG5"]


def test_a_cellxgene_table_without_header_and_a_gtf_file_give_the_genes_of_the_ensembl_table(tmp_path):
    cellxgene = tmp_path / "genes.csv.gz"
    with gzip.open(cellxgene, "wt") as file:
        file.write("ENSG1,AA,3,500,protein_coding\nENSG9,NC,1,700,lncRNA\n")
    assert build_gene_table(cellxgene, organism=HUMAN).frame["gene_id"].tolist() == ["ENSG1"]
    gtf = raw(
        tmp_path,
        '#!genome\n1\te\tgene\t5000\t6000\t.\t+\t.\tgene_id "ENSG1"; gene_name "AA"; gene_biotype "protein_coding";\n'
        '1\te\texon\t5000\t5100\t.\t+\t.\tgene_id "ENSG1";\n'
        '1\te\tgene\t90000\t91000\t.\t+\t.\tgene_id "ENSG2"; gene_biotype "protein_coding";\n',
        "genes.gtf",
    )
    frame = build_gene_table(gtf, organism=HUMAN).frame
    assert frame[["gene_id", "symbol", "start", "location"]].to_numpy().tolist() == [
        ["ENSG1", "AA", 5000, 0],
        ["ENSG2", "", 90000, 1],
    ]


INFO = """#tax_id\tGeneID\tSymbol\tLocusTag\tSynonyms\tdbXrefs
9606\t1\tAA\t-\tOLDA|OLDER\tMIM:1|Ensembl:ENSG1
9606\t2\tBBX\t-\t-\tEnsembl:ENSG2
9606\t3\tCC\tLOC3\t-\t-
9606\t4\tDD\t-\tAA\t-
9606\t5\tDD\t-\tTWICE\t-
"""


def test_aliases_come_from_gene_info_by_id_else_by_symbol(tmp_path):
    table = build_gene_table(raw(tmp_path), organism=HUMAN, aliases=raw(tmp_path, INFO, "Human.gene_info"))
    assert dict(zip(table.frame["gene_id"], table.frame["aliases"], strict=True)) == {
        "ENSG1": "OLDA|OLDER",
        "ENSG2": "BBX",  # NCBI's symbol, where Ensembl has another
        "ENSG3": "LOC3",
        "ENSG4": "",  # two genes of NCBI have its symbol
        "ENSG5": "",
    }
    assert map_genes(["OLDER", "BBX"], table).report["gene_id"].tolist() == ["ENSG1", "ENSG2"]


@pytest.mark.parametrize(
    "text",
    [
        "Species\tSymbol\tEnsembl\tFamily\nHomo_sapiens\tAA\tENSG1\tDD\nHomo_sapiens\tOLDC\tNA\tzf\n",  # AnimalTFDB
        "TF_ID\tGene_ID\tFamily\nENSG1.1\tENSG1\tDD\nOLDC\tOLDC\tDD\n",  # PlantTFDB
        "ENSG1.7\nOLDC\n",
    ],
)
def test_lists_of_transcription_factors_of_all_kinds_are_read_and_families_are_no_genes(tmp_path, text):
    lines = [line.split("\t") for line in ENSEMBL.splitlines()]
    lines = [[*line, "aliases" if line[0] == "ensembl_id" else "OLDC" if line[0] == "ENSG3" else ""] for line in lines]
    genes = raw(tmp_path, "\n".join("\t".join(line) for line in lines) + "\n")
    frame = build_gene_table(genes, organism=HUMAN, transcription_factors=raw(tmp_path, text, "factors.txt")).frame
    assert frame.loc[frame["is_tf"], "gene_id"].tolist() == ["ENSG3", "ENSG1"]


@pytest.mark.parametrize("kind", ["aliases", "transcription_factors"])
def test_a_table_of_another_organism_is_refused(tmp_path, kind):
    text = INFO.replace("ENSG", "ENSMUSG").replace("AA", "Aa").replace("CC", "Cc").replace("DD", "Dd")
    other = raw(tmp_path, text if kind == "aliases" else "ENSMUSG1\n", "other.txt")
    with pytest.raises(ValueError, match="other.txt: names none of the genes"):
        build_gene_table(raw(tmp_path), organism=HUMAN, **{kind: other})


def test_ids_of_plants_with_versions_are_recognized_by_few_prefixes(tmp_path):
    text = "gene_id\tsymbol\tbiotype\n" + "".join(f"Solyc01g{n:06d}.3\t\tprotein_coding\n" for n in range(300))
    table = build_gene_table(raw(tmp_path, text), organism="NCBITaxon:4081")
    assert len(table.id_form.pattern) < 100
    assert map_genes(["Solyc01g000007.3", "Solyc01g900000.3"], table).report["status"].tolist() == ["mapped", "dropped"]


def test_a_gene_table_survives_the_way_through_a_file(tmp_path):
    table = build_gene_table(raw(tmp_path), organism=HUMAN)
    write_gene_table(table, tmp_path / "normalized.tsv")
    again = read_gene_table(tmp_path / "normalized.tsv", organism=HUMAN)
    pd.testing.assert_frame_equal(again.frame, table.frame, check_dtype=False)
    assert again.frame["is_tf"].dtype == bool


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENSEMBL.replace("ensembl_id", "name"), "no column for gene_id; found"),
        (ENSEMBL.replace("ENSG2", "ENSG1"), "more than once, such as 'ENSG1'"),
        (ENSEMBL.replace("protein_coding", "lncRNA"), "no gene of biotype 'protein_coding'"),
    ],
)
def test_a_bad_gene_table_is_refused_with_what_was_found(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"genes.tsv: .*{message}"):
        build_gene_table(raw(tmp_path, text), organism=HUMAN)


def test_ids_versions_symbols_and_aliases_are_mapped_each_by_its_way(tmp_path):
    table = gene_table()
    mapping = map_genes(["ENSG00000000003", "ENSG00000000004.12", "GENE5", "OLD6", "nothing"], table)
    assert mapping.index.tolist() == [3, 4, 5, 6, -1]
    assert mapping.report["by"].tolist() == ["id", "id", "symbol", "alias", ""]
    assert mapping.report["status"].tolist() == ["mapped"] * 4 + ["unknown"]
    assert mapping.report["gene_id"].tolist()[-1] == ""


def test_ids_of_this_organism_that_are_no_protein_coding_genes_are_dropped_and_do_not_count_against_a_file():
    names = ["ENSG00000000003", *[f"ENSG{number:011d}.2" for number in range(5000, 5100)]]
    mapping = map_genes(names, gene_table(), minimum_mapped=0.9)
    assert mapping.report["status"].value_counts().to_dict() == {"dropped": 100, "mapped": 1}
    other = map_genes(["ENSMUSG00000000003", "GENE1"], gene_table())
    assert other.report["status"].tolist() == ["unknown", "mapped"]


def test_a_symbol_of_two_genes_is_ambiguous_and_never_mapped(tmp_path):
    mapping = map_genes(["AA", "BB"], build_gene_table(raw(tmp_path), organism=HUMAN))
    assert mapping.index.tolist() == [1, -1]
    assert mapping.report["status"].tolist() == ["mapped", "ambiguous"]


def test_a_few_names_may_differ_in_case_but_not_most():
    table = gene_table()
    names = [f"GENE{gene}" for gene in range(50)] + ["gene60"]
    assert map_genes(names, table).index[-1] == 60
    with pytest.raises(ValueError, match="another organism"):
        map_genes([f"Gene{gene}" for gene in range(50)], table, minimum_mapped=0.3)


def test_unknown_genes_are_refused_with_examples_and_the_fix():
    with pytest.raises(
        ValueError, match=r"2.0% of 50 gene names .* 30% are needed. Not found: \['bin1'.*Ensembl gene ids"
    ):
        map_genes(["GENE1"] + [f"bin{number}" for number in range(1, 50)], gene_table(), minimum_mapped=0.3)


def test_a_vocabulary_holds_the_genes_of_each_organism_in_a_row():
    human = gene_table(5)
    mouse = type(human)(MOUSE, gene_table(3).frame)
    vocabulary = build_gene_vocabulary([human, mouse])
    assert (vocabulary.span(HUMAN), vocabulary.span(MOUSE)) == ((0, 5), (5, 8))
    assert list(vocabulary.frame.columns) == ["organism", "gene_id", "symbol", "location", "family", "is_tf"]


@pytest.mark.real_data
def test_real_gene_tables_have_the_known_number_of_genes_and_shared_families():
    folder = real_data() / "genes"
    pairs = folder / "orthologs/human_mouse_one2one_ensembl.tsv.gz"
    human = build_gene_table(folder / "ensembl109_homo_sapiens.tsv.gz", organism=HUMAN, families=pairs)
    mouse = build_gene_table(folder / "ensembl109_mus_musculus.tsv.gz", organism=MOUSE, families=pairs)
    assert (len(human), len(mouse)) == (20_024, 21_821)
    assert len(set(human.frame["family"]) & set(mouse.frame["family"])) > 15_000
    assert (
        map_genes(["TP53", "ENSG00000141510.18"], human).index.tolist()
        == [human.frame["symbol"].tolist().index("TP53")] * 2
    )
