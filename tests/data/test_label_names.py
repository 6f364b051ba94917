from pathlib import Path

import pandas as pd
import pytest

from scprint2.data import ontology
from scprint2.data.label_names import COLUMNS, common_names, read_label_names
from scprint2.data.labels import align_labels
from scprint2.data.registry import Dataset, read_registry
from tests.data.raw import HUMAN

ROOT = Path(__file__).resolve().parents[2]
TABLES = sorted((ROOT / "config/labels").glob("*.tsv"))
ROW = ("cell_type", "", "my B cells", "CL:0000236", "B cell", "me")


def table(folder, *rows, header=COLUMNS):
    path = folder / "labels.tsv"
    path.write_text("# A comment.\n" + "\n".join("\t".join(row) for row in (header, *rows)) + "\n")
    return path


def test_a_table_is_read_by_class_and_label(tmp_path):
    names = read_label_names(table(tmp_path, ROW, ("assay", "tech", "smart", "unknown", "", "me")))
    assert names.terms == {("cell_type", "my B cells"): "CL:0000236", ("assay", "smart"): "unknown"}
    assert names.columns == {"assay": "tech"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: "celltype"}, r"line 3: class is 'celltype'; known: \['cell_type'"),
        ({2: ""}, "line 3: label and source must not be empty"),
        ({5: ""}, "line 3: label and source must not be empty"),
        (
            {3: "CL:9999999"},
            r"line 3: term is 'CL:9999999', which its ontology does not have or has retired \(now 'unknown'\)",
        ),
        ({3: "CL:0000663"}, r"has retired \(now 'CL:1000147'\)"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, change, message):
    row = [change.get(place, value) for place, value in enumerate(ROW)]
    with pytest.raises(ValueError, match=f"labels.tsv, {message}" if message.startswith("line") else message):
        read_label_names(table(tmp_path, row))


def test_a_label_given_twice_two_columns_of_a_class_and_wrong_headers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="line 4: label 'my B cells' of cell_type is given twice"):
        read_label_names(table(tmp_path, ROW, ROW))
    twice = [("assay", "a", "x", "EFO:0008931", "", "me"), ("assay", "b", "y", "EFO:0008931", "", "me")]
    with pytest.raises(ValueError, match="labels of assay stand in column 'a' and in 'b'"):
        read_label_names(table(tmp_path, *twice))
    with pytest.raises(ValueError, match="columns are .*expected"):
        read_label_names(table(tmp_path, ROW, header=("class", "label", "term")))
    with pytest.raises(ValueError, match="line 3: 2 fields"):
        read_label_names(table(tmp_path, ("a", "b")))


@pytest.mark.parametrize("path", TABLES, ids=[path.stem for path in TABLES])
def test_a_table_of_the_project_belongs_to_a_dataset_and_names_its_terms_as_the_ontology_does(path):
    datasets = [name for registry in ROOT.glob("config/**/datasets.tsv") for name in read_registry(registry)]
    assert path.stem in datasets
    assert read_label_names(path).terms
    for line in path.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) == len(COLUMNS) and fields[0] != "class":
            assert ontology.label(fields[3]) == fields[4], line


def test_the_common_table_holds_labels_that_no_ontology_knows():
    names = common_names()
    assert names.columns == {}
    assert all(label == label.lower() for _, label in names.terms)


@pytest.mark.parametrize(
    ("name", "column", "labels"),
    [
        (
            "scib_lung",
            "cell_type",
            "Basal 1,Basal 2,Ciliated,Ionocytes,Secretory,Type 1,Type 2,Endothelium,Fibroblast,Lymphatic,B cell,Dendritic cell,"
            "Macrophage,Mast cell,Neutrophil_CD14_high,Neutrophils_IL1R2,T/NK cell",
        ),
        (
            "scib_pancreas",
            "celltype",
            "acinar,activated_stellate,alpha,beta,delta,ductal,endothelial,epsilon,gamma,macrophage,mast,quiescent_stellate,"
            "schwann,t_cell",
        ),
    ],
)
def test_every_label_of_the_scib_sets_is_mapped(name, column, labels):
    values = labels.split(",")
    obs = pd.DataFrame({column: values, "tech": "inDrop1"})
    found = align_labels(
        obs,
        dataset=Dataset(name, HUMAN, label_key=column),
        names=read_label_names(ROOT / f"config/labels/{name}.tsv"),
    )
    assert found.unknown == {}
    assert set(found.report.loc[found.report["class"] == "cell_type", "by"]) == {"table"}
    assert (found.report.loc[found.report["class"] == "cell_type", "status"] == "mapped").all()
