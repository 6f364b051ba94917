import json
import os
import subprocess
import sys

import pytest

from scprint2.paper import read_paper
from tests.helpers import CONFIG, VARIANTS
from tests.training import tiny


def scprint2(*arguments, folder=None):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from scprint2.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        check=False,
    )


def pretrain(folder, *more, manifest, **training):
    return scprint2(
        *("pretrain", "--experiment", tiny.experiment(**training).model_dump_json(), "--corpus", manifest),
        *("--seed", 0, "--work", folder / "work", "--out", folder / "model", "--device", "cpu"),
        *more,
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return tiny.make_corpus(tmp_path_factory.mktemp("corpus"))


def test_help_shows_examples_and_imports_neither_torch_nor_pandas():
    code = "import sys; from scprint2.cli import app; app(['pretrain', '--help'], standalone_mode=False); "
    code += "print(sorted({'torch', 'pandas', 'numpy', 'scanpy'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example: scprint2 pretrain" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_stop_by_the_budget_exits_with_75_and_the_same_command_finishes(tmp_path, manifest):
    first = pretrain(tmp_path, "--budget-seconds", 0.001, manifest=manifest)
    assert first.returncode == 75
    assert "stopped, run the same command again" in first.stderr
    assert not (tmp_path / "model").exists()
    second = pretrain(tmp_path, "--json", manifest=manifest)
    assert second.returncode == 0, second.stderr
    assert "resumed after step 1" in second.stderr
    report = json.loads(second.stdout)
    assert report["record"]["steps"] == 18
    assert len(report["cost"]["segments"]) == 2


def test_a_mistake_is_one_line_and_exit_code_1(tmp_path, manifest):
    result = scprint2(
        *("pretrain", "--experiment", '{"data": 1}', "--corpus", manifest, "--seed", 0),
        *("--work", tmp_path / "work", "--out", tmp_path / "model"),
    )
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scale", "mini"],
        ["--scale", "mini", "--variant", "base", "--experiment", "{}"],
        ["--variant", "base"],
    ],
)
def test_wrong_usage_exits_with_2(tmp_path, manifest, arguments):
    result = scprint2(
        *("pretrain", "--corpus", manifest, "--seed", 0, "--work", tmp_path, "--out", tmp_path / "model", *arguments)
    )
    assert result.returncode == 2
    assert "--experiment, or --scale and --variant" in result.stderr


def test_datasets_of_a_registry_are_listed(tmp_path):
    registry = tmp_path / "datasets.tsv"
    registry.write_text(
        "name\torganism\tbytes\tlicence\troles\n"
        "one\tNCBITaxon:9606\t2500000\tCC-BY-4.0\ttrain\n"
        "two\tNCBITaxon:10090\t\t\tlung pancreas\n"
    )
    plain = scprint2("data", "list", "--registry", registry)
    assert plain.stdout.splitlines() == [
        "one\tNCBITaxon:9606\ttrain\t2.5 MB\tCC-BY-4.0",
        "two\tNCBITaxon:10090\tlung pancreas\t\t",
    ]
    listed = json.loads(scprint2("data", "list", "--registry", registry, "--json").stdout)
    assert [row["name"] for row in listed] == ["one", "two"]


def test_a_bad_registry_is_one_line_that_names_the_place(tmp_path):
    registry = tmp_path / "datasets.tsv"
    registry.write_text("name\torganism\n../up\tNCBITaxon:9606\n")
    result = scprint2("data", "list", "--registry", registry)
    assert result.returncode == 1
    assert f"error: {registry}, line 2" in result.stderr


def test_variants_are_listed_with_what_they_change():
    result = scprint2("variants", "--scale", "mini", "--json", "--config", CONFIG)
    rows = {row["variant"]: row for row in json.loads(result.stdout)}
    assert list(rows["denoising"]) == ["variant", "section", "name", "reference", "diff"]
    assert rows["base"]["diff"] == {}
    assert rows["negative_control"]["diff"] == {"training.epochs": [6, 0]}
    assert rows["denoising"]["diff"]["views.corrupted.kind"] == ["mask", "downsample"]


def test_variants_lists_the_42_rows_of_the_paper():
    """Two of them are blank in every column of the printed table, which lists the others cell by cell."""
    result = scprint2("variants", "--scale", "mini", "--json", "--config", CONFIG)
    rows = json.loads(result.stdout)
    assert len(rows) == len({row["variant"] for row in rows}) == 42
    assert len({(row["section"], row["name"]) for row in rows}) == 42
    assert [row["variant"] for row in rows] == VARIANTS
    printed = set(read_paper(CONFIG / "paper" / "table1.csv")["variant"])
    assert {row["variant"] for row in rows} - printed == {"only_expressed", "tf_masking"}
    assert printed <= {row["variant"] for row in rows}
