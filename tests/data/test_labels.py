import pandas as pd
import pytest

from scprint2.data.labels import align_labels, spoken_term
from scprint2.data.registry import Dataset
from scprint2.data.vocabulary import CLASSES

HUMAN = "NCBITaxon:9606"


def align(label_key="", **columns):
    obs = pd.DataFrame(columns, index=[f"cell_{n}" for n in range(len(next(iter(columns.values()))))])
    return align_labels(obs, dataset=Dataset("a", HUMAN, label_key=label_key))


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


def test_the_names_of_the_scib_sets_are_known():
    assert spoken_term("cell_type", "activated_stellate") == "CL:0002410"
    assert spoken_term("cell_type", "Type 2") == "CL:0002063"


def test_missing_and_mixed_values_are_unknown_without_a_complaint():
    labels = align(cell_type_ontology_term_id=["CL:0000084", None, float("nan"), "unknown", "na"])
    assert found(labels, "cell_type") == ["CL:0000084"] + ["unknown"] * 4
    assert labels.unknown == {}
    assert found(align(cell_type=pd.Categorical(["T cell", None])), "cell_type") == ["CL:0000084", "unknown"]
    assert found(align(cell_type=["T cell", 3]), "cell_type") == ["CL:0000084", "unknown"]


def test_several_values_in_one_cell_are_unknown_and_reported():
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
