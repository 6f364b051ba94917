import anndata
import pandas as pd
import pytest

from scprint2.data.cellxgene import organisms_of, read_metadata, recognize
from scprint2.data.labels import align_labels
from scprint2.data.registry import Dataset
from tests.data.raw import HUMAN, MOUSE, real_data

ETHNICITY = "self_reported_ethnicity_ontology_term_id"
# One file of two cells in the format of each version: the second cell is a culture of fibroblasts from two ancestries.
FORMATS = {
    2: (
        {
            "organism_ontology_term_id": [HUMAN, HUMAN],
            "tissue_ontology_term_id": ["UBERON:0000178", "CL:0000057 (cell culture)"],
            "assay_ontology_term_id": ["EFO:0009899", "EFO:0009922 (sci-plex)"],
            "ethnicity_ontology_term_id": ["HANCESTRO:0005", "na"],
        },
        {"schema_version": "2.0.0"},
    ),
    3: (
        {
            "organism_ontology_term_id": [HUMAN, HUMAN],
            "tissue_ontology_term_id": ["UBERON:0000178", "CL:0000057 (cell culture)"],
            "assay_ontology_term_id": ["EFO:0009899", "EFO:0009922"],
            ETHNICITY: ["HANCESTRO:0005", "HANCESTRO:0005,HANCESTRO:0014"],
        },
        {"schema_version": "3.1.0"},
    ),
    5: (
        {
            "organism_ontology_term_id": [HUMAN, HUMAN],
            "tissue_ontology_term_id": ["UBERON:0000178", "CL:0000057"],
            "tissue_type": ["tissue", "cell culture"],
            "assay_ontology_term_id": ["EFO:0009899", "EFO:0009922"],
            ETHNICITY: ["HANCESTRO:0005", "HANCESTRO:0005,HANCESTRO:0014"],
        },
        {"schema_reference": "https://github.com/chanzuckerberg/single-cell-curation/blob/main/schema/5.2.0/schema.md"},
    ),
    6: (
        {
            "tissue_ontology_term_id": ["UBERON:0000178", "CL:0000057"],
            "tissue_type": ["tissue", "cell culture"],
            "assay_ontology_term_id": ["EFO:0009899", "EFO:0009922"],
            ETHNICITY: ["HANCESTRO:0005", "HANCESTRO:0005 || HANCESTRO:0014"],
        },
        {"schema_version": "6.0.0", "organism_ontology_term_id": HUMAN, "organism": "Homo sapiens"},
    ),
    7: (
        {
            "tissue_ontology_term_id": ["UBERON:0000178", "CL:0000057"],
            "tissue_type": ["tissue", "primary cell culture"],
            "assay_ontology_term_id": ["EFO:0009899", "EFO:0009922"],
            ETHNICITY: ["HANCESTRO:0005", "HANCESTRO:0005 || HANCESTRO:0014"],
        },
        {"schema_version": "7.1.0", "organism_ontology_term_id": HUMAN},
    ),
}


def file(version, **more):
    columns, uns = FORMATS[version]
    obs = pd.DataFrame({**columns, **more}, index=["a", "b"])
    return obs.astype(dict.fromkeys(obs, "category")), dict(uns)


@pytest.mark.parametrize("version", list(FORMATS))
def test_a_file_of_every_version_becomes_the_same_metadata(version):
    obs, uns = file(version)
    before = obs.copy()
    found = read_metadata(obs, uns)
    assert found.version == version
    assert found.obs["organism_ontology_term_id"].tolist() == [HUMAN, HUMAN]
    assert found.obs["tissue_ontology_term_id"].tolist() == ["UBERON:0000178", "CL:0000057"]
    assert found.obs["tissue_type"].tolist() == ["tissue", "primary cell culture"]
    assert found.obs["assay_ontology_term_id"].tolist() == ["EFO:0009899", "EFO:0009922"]
    expected = "na" if version == 2 else "HANCESTRO:0005 || HANCESTRO:0014"
    assert found.obs[ETHNICITY].tolist() == ["HANCESTRO:0005", expected]
    pd.testing.assert_frame_equal(obs, before)


@pytest.mark.parametrize("version", list(FORMATS))
def test_labels_of_every_version_are_the_same(version):
    obs, uns = file(version)
    labels = align_labels(obs, dataset=Dataset("a", HUMAN), uns=uns)
    assert labels.frame["cell_culture_ontology_term_id"].tolist() == ["tissue", "cell_culture"]
    assert labels.frame["tissue_ontology_term_id"].tolist() == ["UBERON:0000178", "CL:0000057"]
    assert labels.frame["ethnicity_ontology_term_id"].tolist() == ["HANCESTRO:0005", "unknown"]
    assert labels.schema.startswith(f"CELLxGENE schema {version}:")
    assert organisms_of(obs, uns) == {HUMAN}


@pytest.mark.parametrize("version", [5, 6, 7])
def test_a_version_is_recognized_without_being_stated(version):
    obs, uns = file(version)
    uns.pop("schema_version", None)
    uns.pop("schema_reference", None)
    assert recognize(obs, uns)[0] == version


def test_a_cell_line_of_schema_7_has_no_donor_nor_stage_and_is_a_culture():
    obs, uns = file(7, tissue_type=["tissue", "cell line"], cell_type_ontology_term_id=["CL:0000084", "na"])
    obs["tissue_ontology_term_id"] = ["UBERON:0000178", "CVCL_0004"]
    labels = align_labels(obs, dataset=Dataset("a", HUMAN), uns=uns)
    assert labels.frame["cell_culture_ontology_term_id"].tolist() == ["tissue", "cell_culture"]
    assert labels.frame["cell_type_ontology_term_id"].tolist() == ["CL:0000084", "unknown"]
    assert labels.unknown["tissue"] == {"cells": 1, "examples": ["CVCL_0004"]}
    assert "cell_type" not in labels.unknown


def test_missing_values_stay_missing_in_every_step():
    obs = pd.DataFrame(
        {"tissue_ontology_term_id": ["UBERON:0000178", None], "ethnicity_ontology_term_id": [float("nan"), "unknown"]}
    )
    found = read_metadata(obs.astype("category"), {}).obs
    assert found["tissue_ontology_term_id"].isna().tolist() == [False, True]
    assert found[ETHNICITY].isna().tolist() == [True, False]


def test_names_with_commas_stay_whole():
    obs = pd.DataFrame({"cell_type": ["CD4-positive, alpha-beta T cell"], "tissue_type": ["tissue"]})
    assert align_labels(obs, dataset=Dataset("a", HUMAN)).frame["cell_type_ontology_term_id"].tolist() == ["CL:0000624"]


def test_organisms_that_contradict_each_other_are_refused():
    obs, _ = file(5)
    with pytest.raises(ValueError, match=r"uns.* is 'NCBITaxon:10090', obs.* holds \['NCBITaxon:9606'\].*Correct"):
        read_metadata(obs, {"organism_ontology_term_id": MOUSE})


def test_a_file_of_no_schema_is_left_alone():
    obs = pd.DataFrame({"cell_type": ["T cell"], "tissue": ["blood (left arm)"]})
    found = read_metadata(obs, {})
    assert (found.version, found.evidence) == (None, "no column or key of CELLxGENE's schema")
    pd.testing.assert_frame_equal(found.obs, obs)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "version", "organisms", "cultures"),
    [
        (
            "cxg_schema_examples/example_with_labels.h5ad",
            2,
            {HUMAN, MOUSE},
            {"tissue": 318, "cell_culture": 1, "organoid": 1},
        ),
        ("cxg_schema_examples/liver_bcells_cxg_v5.h5ad", 5, {HUMAN}, {"tissue": 146}),
        ("perturb_marson_cd4_cxg/small_perturbations.h5ad", 7, {HUMAN}, {"tissue": 500}),
    ],
)
def test_real_files_are_recognized_and_their_labels_found(name, version, organisms, cultures):
    adata = anndata.read_h5ad(real_data() / name, backed="r")
    obs, uns = pd.DataFrame(adata.obs), adata.uns
    assert recognize(obs, uns)[0] == version
    assert organisms_of(obs, uns) == organisms
    labels = align_labels(obs, dataset=Dataset("a", HUMAN), uns=uns)
    assert labels.frame["cell_culture_ontology_term_id"].value_counts().to_dict() == cultures
    assert (labels.frame["tissue_ontology_term_id"] != "unknown").all()
    assert (labels.frame["age_group_ontology_term_id"] != "unknown").all()
    assert set(labels.report.loc[labels.report["class"] == "disease", "term"]) == {"PATO:0000461"}
    assert labels.report.groupby("class")["cells"].sum().eq(adata.n_obs).all()
