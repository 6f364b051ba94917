import importlib.metadata
import re

import numpy as np
import pandas as pd
import pytest

from scprint2.tasks.examples import EXAMPLES
from scprint2.tasks.predictions import write_prediction
from scprint2.tasks.scores import read_all_scores, score_prediction, score_rows
from scprint2.versions import (
    LIBRARIES,
    SCORE_FILE,
    describe_versions,
    installed_versions,
    own_version,
    refuse_mixed_versions,
)
from tests.helpers import ROOT


def frame(*versions: str, version: str = "scprint2 1") -> pd.DataFrame:
    """One score file for each of some sets of versions."""
    lines = [("mini", "base", seed, "embed", "lung", version, text) for seed, text in enumerate(versions)]
    return pd.DataFrame(lines, columns=["scale", "variant", "seed", "task", "dataset", "version", "versions"])


def test_the_versions_are_those_of_the_installed_packages():
    found = dict(entry.split(" ") for entry in installed_versions().split(", "))
    assert found["numpy"] == np.__version__
    assert {"torch", "harmonypy", "pynndescent", "cellxgene-ontology-guide"} <= set(found)
    assert found == {name: importlib.metadata.version(name) for name in found}
    missing = [name for name in LIBRARIES if name not in found]
    for name in missing:
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)


def test_every_library_that_a_score_rests_on_is_listed():
    sources = "".join(path.read_text() for path in (ROOT / "src" / "scprint2").rglob("*.py"))
    asked_for = set(re.findall(r'require\("\w+", package="([\w-]+)"\)', sources))
    assert asked_for == {"harmonypy", "magic-impute", "scvi-tools"}
    imported = set(re.findall(r"^ *(?:from|import) (\w+)", sources, re.MULTILINE))
    others = {"cellxgene_ontology_guide": "cellxgene-ontology-guide", "sklearn": "scikit-learn"}
    numeric = {"anndata", "igraph", "numpy", "pandas", "pynndescent", "scanpy", "scipy", "torch", *others}
    assert numeric <= imported
    assert asked_for | {others.get(module, module) for module in numeric} <= set(LIBRARIES)


def test_libraries_that_predicted_and_were_others_are_named():
    assert describe_versions("numpy 2, torch 1", scored="numpy 2, torch 1") == "numpy 2, torch 1"
    assert (
        describe_versions("numpy 1, torch 1", scored="numpy 2, torch 1") == "numpy 2, torch 1; predicted with numpy 1"
    )


def test_one_set_of_versions_passes_and_two_are_refused_by_file_with_what_to_do():
    refuse_mixed_versions(frame("numpy 2", "numpy 2"))
    with pytest.raises(ValueError, match="1 of 3 files differ") as error:
        refuse_mixed_versions(frame("numpy 2", "numpy 1", "numpy 2"))
    assert "numpy 1 (1 files)" in str(error.value)
    assert "results/mini/scores/base/seed_1/embed/lung.tsv" in str(error.value)
    assert "seed_0" not in str(error.value)
    assert "Delete these files" in str(error.value)


def test_a_library_that_was_not_there_before_is_no_difference():
    refuse_mixed_versions(frame("numpy 2", "numpy 2, scvi-tools 1", "numpy 2; predicted with harmonypy 2"))
    with pytest.raises(ValueError, match="scvi-tools 1"):
        refuse_mixed_versions(frame("numpy 2", "numpy 2, scvi-tools 1", "numpy 2, scvi-tools 2"))


def test_files_read_together_are_of_one_set_of_versions_and_a_revision_is_a_version(tmp_path):
    files = [tmp_path / "1.tsv", tmp_path / "2.tsv"]
    for number, file in enumerate(files):
        frame("numpy 2").assign(seed=number, value=1.0).to_csv(file, sep="\t", index=False)
    assert read_all_scores(files)["seed"].tolist() == [0, 1]
    version = own_version().replace("score revision ", "score revision 9")
    frame("numpy 2", version=own_version()).assign(value=1.0).to_csv(files[0], sep="\t", index=False)
    frame("numpy 2", version=version).assign(seed=1, value=1.0).to_csv(files[1], sep="\t", index=False)
    with pytest.raises(ValueError, match="score revision"):
        read_all_scores(files)


def test_what_is_installed_stays_even_where_it_is_rarer():
    mine = installed_versions()
    with pytest.raises(ValueError, match="2 of 3 files differ") as error:
        refuse_mixed_versions(frame("numpy 1", mine, "numpy 1", version=own_version()))
    assert "seed_1" not in str(error.value)


def test_predictions_of_other_versions_and_another_package_version_are_refused_too():
    with pytest.raises(ValueError, match="numpy 1 in the predictions"):
        refuse_mixed_versions(frame("numpy 2", "numpy 2; predicted with numpy 1", "numpy 2"))
    mixed = pd.concat([frame("numpy 2"), frame("numpy 2", version="scprint2 0").assign(seed=1)])
    with pytest.raises(ValueError, match="scprint2 [01]"):
        refuse_mixed_versions(mixed)


def test_the_path_in_the_message_is_the_one_that_rules_write():
    assert re.search(re.escape(SCORE_FILE), (ROOT / "rules" / "inputs_rows.smk").read_text())


def test_a_score_row_has_the_versions_of_its_prediction_and_of_its_scoring(tmp_path):
    earlier = installed_versions().replace("torch ", "torch 0.")
    told = {"task": "annotate", "dataset": "x", "versions": earlier}
    write_prediction(tmp_path / "x.h5ad", EXAMPLES["annotate"]("random"), about=told)
    prediction, scores = score_prediction(tmp_path / "x.h5ad")
    rows = score_rows(prediction, scores, scale="mini", variant="base", seed=0)
    assert all(row.versions.startswith(f"{installed_versions()}; predicted with torch 0.") for row in rows)
    assert rows[0].version == own_version()
