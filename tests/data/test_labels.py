import pandas as pd
import pytest

from scprint2.data.label_names import LabelNames
from scprint2.data.labels import NO_LABELS, align_labels, resolve
from scprint2.data.registry import Dataset
from scprint2.data.vocabulary import CLASSES

HUMAN = "NCBITaxon:9606"


def align(label_key="", *, names=NO_LABELS, uns=None, **columns):
    obs = pd.DataFrame(columns, index=[f"cell_{n}" for n in range(len(next(iter(columns.values()))))])
    return align_labels(obs, dataset=Dataset("a", HUMAN, label_key=label_key), names=names, uns=uns)


def found(labels, name):
    return labels.frame[f"{name}_ontology_term_id"].astype(str).tolist()


def test_every_class_has_a_column_and_what_is_not_given_is_unknown():
    labels = align(anything=[1, 2])
    assert list(labels.frame.columns) == [f"{name}_ontology_term_id" for name in CLASSES]
    assert found(labels, "organism") == [HUMAN, HUMAN]
    assert {term for name in CLASSES if name != "organism" for term in found(labels, name)} == {"unknown"}
    assert labels.unknown == {}


def test_term_ids_count_before_names():
    labels = align(cell_type_ontology_term_id=["CL:0000084"], cell_type=["B cell"])
    assert found(labels, "cell_type") == ["CL:0000084"]


def test_names_are_looked_up_without_case():
    labels = align(
        cell_type=["t cell", "no such cell"],
        tissue=["Blood", "blood"],
        assay=["10x 3' v2", "inDrop"],
        disease=["normal", "healthy"],
    )
    assert found(labels, "cell_type") == ["CL:0000084", "unknown"]
    assert found(labels, "tissue") == ["UBERON:0000178"] * 2
    assert found(labels, "assay") == ["EFO:0009899", "EFO:0008780"]
    assert found(labels, "disease") == ["PATO:0000461"] * 2
    assert labels.unknown == {"cell_type": {"cells": 1, "examples": ["no such cell"]}}


def test_a_name_is_looked_up_among_names_then_among_exact_synonyms():
    assert resolve("cell_type", "T lymphocyte").by == "synonym"
    assert resolve("cell_type", "T lymphocyte").term == resolve("cell_type", "T cell").term == "CL:0000084"
    assert (resolve("cell_type", "T cell").by, resolve("assay", "inDrop").term) == ("name", "EFO:0008780")


def test_a_name_of_several_terms_is_ambiguous_and_not_mapped():
    found = resolve("assay", "nuc-seq")
    assert (found.term, found.status, found.by) == ("unknown", "ambiguous", "name")
    labels = align(assay=["nuc-seq", "10x 3' v2"])
    assert labels.unknown == {"assay": {"cells": 1, "examples": ["nuc-seq"]}}


def test_the_table_of_a_dataset_counts_before_all_and_may_say_that_a_label_is_unknown():
    names = LabelNames({("cell_type", "B cell"): "CL:0000084", ("cell_type", "doublets"): "unknown"}, {})
    labels = align(names=names, cell_type=["B cell", "doublets"])
    assert found(labels, "cell_type") == ["CL:0000084", "unknown"]
    assert labels.unknown["cell_type"]["examples"] == ["doublets"]


def test_a_table_names_the_column_of_a_class_and_a_missing_column_is_refused():
    names = LabelNames({("assay", "smart"): "EFO:0008931"}, {"assay": "tech"})
    assert found(align(names=names, tech=["smart"]), "assay") == ["EFO:0008931"]
    with pytest.raises(ValueError, match=r"no label column 'tech'; found \['other'\]"):
        align(names=names, other=["smart"])


def test_the_report_holds_every_label_of_every_column_and_counts_all_cells():
    labels = align(
        cell_type_ontology_term_id=["CL:0000084", "CL:0000084", "CL:0000663", "CL:9999999"],
        disease_ontology_term_id=["MONDO:0005061 || MONDO:0005180", "PATO:0000461", "PATO:0000461", "unknown"],
    )
    report = labels.report.set_index(["class", "label"])
    assert report["cells"].groupby("class").sum().to_dict() == {"cell_type": 4, "disease": 4, "organism": 4}
    assert report.loc["cell_type", ["term", "status", "by"]].to_numpy().tolist() == [
        ["CL:0000084", "mapped", "id"],
        ["CL:1000147", "mapped", "successor"],
        ["unknown", "unknown", "id"],
    ]
    assert report.loc["disease", "status"].to_dict() == {
        "PATO:0000461": "mapped",
        "MONDO:0005061 || MONDO:0005180": "ambiguous",
        "unknown": "missing",
    }
    assert report.loc[("cell_type", "CL:0000663"), "name"] == "cardiac valve cell"


def test_missing_and_mixed_values_are_unknown_without_a_complaint():
    labels = align(cell_type_ontology_term_id=["CL:0000084", None, float("nan"), "unknown", "na"])
    assert found(labels, "cell_type") == ["CL:0000084"] + ["unknown"] * 4
    assert labels.unknown == {}
    assert found(align(cell_type=pd.Categorical(["T cell", None])), "cell_type") == ["CL:0000084", "unknown"]
    assert found(align(cell_type=["T cell", 3]), "cell_type") == ["CL:0000084", "unknown"]


def test_of_several_values_in_one_line_of_descent_the_most_specific_counts():
    assert resolve("disease", "MONDO:0004992 || MONDO:0005061").term == "MONDO:0005061"  # cancer, lung adenocarcinoma
    assert resolve("cell_type", "T cell || CD4-positive, alpha-beta T cell").term == "CL:0000624"


def test_other_values_in_one_cell_are_unknown_and_reported():
    labels = align(disease_ontology_term_id=["MONDO:0005061 || MONDO:0005180", "PATO:0000461"])
    assert found(labels, "disease") == ["unknown", "PATO:0000461"]
    assert labels.unknown["disease"]["cells"] == 1


def test_the_label_column_of_the_registry_counts_before_all():
    labels = align("mine", cell_type_ontology_term_id=["CL:0000084"], mine=["B cell"])
    assert found(labels, "cell_type") == ["CL:0000236"]


def test_a_missing_label_column_is_refused_with_the_columns_that_are_there():
    with pytest.raises(ValueError, match=r"no label column 'mine'; found \['other'\].*label_key"):
        align("mine", other=["B cell"])


def test_labels_of_which_none_is_known_are_refused():
    with pytest.raises(
        ValueError, match=r"not one label in obs\['mine'\] is a cell type; found \['K562'\].*CL:0000084"
    ):
        align("mine", mine=["K562", "K562"])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"ethnicity_ontology_term_id": ["HANCESTRO:0005"]}, "HANCESTRO:0005"),  # schema 2
        ({"self_reported_ethnicity_ontology_term_id": ["HANCESTRO:0005"]}, "HANCESTRO:0005"),  # schema 3 and later
        ({"self_reported_ethnicity_ontology_term_id": ["HANCESTRO:0005 || HANCESTRO:0008"]}, "unknown"),
        ({"self_reported_ethnicity_ontology_term_id": ["HANCESTRO:0005,HANCESTRO:0008"]}, "unknown"),  # up to schema 5
        ({"self_reported_ethnicity_ontology_term_id": ["HANCESTRO:0005 || unknown"]}, "HANCESTRO:0005"),
    ],
)
def test_ethnicity_is_found_under_both_of_its_names(columns, expected):
    assert found(align(**columns), "ethnicity") == [expected]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"tissue_ontology_term_id": ["CL:0000057 (cell culture)"]}, "cell_culture"),  # schema 2
        ({"tissue_ontology_term_id": ["UBERON:0000955 (organoid)"]}, "organoid"),
        ({"tissue_ontology_term_id": ["UBERON:0000955"]}, "tissue"),
        ({"tissue_type": ["cell culture"]}, "cell_culture"),  # schema 5
        ({"tissue_type": ["primary cell culture"]}, "cell_culture"),  # schema 7
        ({"tissue_type": ["something"]}, "unknown"),
    ],
)
def test_cell_culture_is_read_from_every_schema(columns, expected):
    assert found(align(**columns), "cell_culture") == [expected]


def test_the_age_group_comes_from_the_stage():
    labels = align(development_stage_ontology_term_id=["HsapDv:0000149", "MmusDv:0000063", "unknown"])
    assert found(labels, "age_group") == ["HsapDv:0000267", "HsapDv:0000266", "unknown"]


LISTED = Dataset("a", HUMAN, tissue="skin of body", assay="10x 3_prime_gex")


def align_listed(dataset=LISTED, **columns):
    obs = pd.DataFrame(columns, index=["cell_0", "cell_1"])
    return align_labels(obs, dataset=dataset)


def test_what_a_dataset_was_listed_with_counts_where_its_file_says_nothing():
    labels = align_listed(gene_count=[1, 2])
    assert found(labels, "tissue") == ["UBERON:0002097"] * 2
    assert found(labels, "assay") == ["EFO:0030003"] * 2
    report = labels.report.set_index("class")
    assert report.loc["tissue"].tolist() == [
        "listing",
        "skin of body",
        "UBERON:0002097",
        "skin of body",
        "mapped",
        "name",
        2,
    ]
    assert report.loc["assay", ["column", "label", "by", "cells"]].tolist() == [
        "listing",
        "10x 3_prime_gex",
        "common",
        2,
    ]


@pytest.mark.parametrize(
    ("columns", "expected", "source"),
    [
        ({"tissue": ["blood", "blood"]}, ["UBERON:0000178"] * 2, "tissue"),
        ({"tissue_ontology_term_id": ["UBERON:0000178"] * 2}, ["UBERON:0000178"] * 2, "tissue_ontology_term_id"),
        ({"tissue": ["blood", None]}, ["UBERON:0000178", "unknown"], "tissue"),
        ({"tissue": ["no such tissue"] * 2}, ["unknown"] * 2, "tissue"),
        ({"tissue": ["unknown", "NA"]}, ["UBERON:0002097"] * 2, "listing"),
        ({"tissue": [None, float("nan")]}, ["UBERON:0002097"] * 2, "listing"),
    ],
)
def test_what_the_file_says_of_any_cell_counts_before_the_listing(columns, expected, source):
    labels = align_listed(**columns)
    assert found(labels, "tissue") == expected
    assert set(labels.report.loc[labels.report["class"] == "tissue", "column"]) == {source}
    assert found(labels, "assay") == ["EFO:0030003"] * 2


def test_a_listed_label_that_no_term_has_is_unknown_and_reported():
    labels = align_listed(Dataset("a", HUMAN, tissue="lung; heart"), gene_count=[1, 2])
    assert found(labels, "tissue") == ["unknown"] * 2
    assert labels.unknown == {"tissue": {"cells": 2, "examples": ["lung; heart"]}}


def test_a_plate_of_cell_lines_is_a_culture_of_no_tissue():
    plate = Dataset("tahoe_plate01", HUMAN, tissue="cell lines", assay="Parse GigaLab")
    labels = align_listed(plate, drug=["a", "b"])
    assert found(labels, "cell_culture") == ["cell_culture"] * 2
    assert found(labels, "assay") == ["EFO:0022603"] * 2
    assert (found(labels, "tissue"), labels.unknown) == (["unknown"] * 2, {})
