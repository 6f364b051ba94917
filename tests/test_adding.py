"""What docs/adding.md promises: its examples, word for word."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.config.overlay import difference, resolve
from tests.helpers import CONFIG, ROOT
from tests.training import tiny

BLOCK = re.compile(
    r'^```(?:python|yaml) file=(\S+)(?: (end|(?:above|below|replace)="([^\n]*)"))?\n(.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
EXAMPLES = [match.groups() for match in BLOCK.finditer((ROOT / "docs/adding.md").read_text())]
COPIED = ("src", "config", "tests", "pyproject.toml")
TRAIN = """
import sys
from pathlib import Path
import torch
from scprint2.experiment import experiment_schema
from tests.golden.record import write
from tests.training import tiny
write(Path("config/schemas/experiment.schema.json"), experiment_schema())
manifest = tiny.make_corpus(Path("corpus"))
for row in sys.argv[1:]:
    tiny.train(manifest, Path("trained") / row, tree=tiny.experiment(row, epochs=1))
"""


def apply(folder: Path, file: str, place: str | None, anchor: str | None, text: str) -> None:
    """Do to a copy of the project what one block of the page says."""
    path = folder / file
    if place is None:
        assert not path.exists(), f"{file} is there already"
        path.write_text(text)
        return
    if place == "end":
        path.write_text(f"{path.read_text()}\n\n{text}")
        return
    lines = path.read_text().splitlines(keepends=True)
    (number,) = [number for number, line in enumerate(lines) if line.strip().startswith(str(anchor))]
    word = place.split("=")[0]
    start, stop = {"above": (number, number), "below": (number + 1, number + 1), "replace": (number, number + 1)}[word]
    text += "\n\n" if word == "above" and path.suffix == ".py" else ""  # before what is at the left margin
    path.write_text("".join([*lines[:start], text, *lines[stop:]]))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with every example of the page in it."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__")} if source.is_dir() else {}))
    (folder / "docs").mkdir()
    for example in EXAMPLES:
        apply(folder, *example)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Run Python on the copy."""
    environment = os.environ | {"PYTHONPATH": f"{folder / 'src'}:{folder}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_a_row_that_combines_two_others_is_listed_and_trained_without_touching_code(tmp_path):
    """The page's first example: a new file, nothing else."""
    config = shutil.copytree(CONFIG, tmp_path / "config")
    ((file, *_, text),) = [example for example in EXAMPLES if "extends:" in example[-1]]
    (config.parent / file).write_text(text)
    row = Path(file).stem

    listed = CliRunner().invoke(app, ["variants", "--config", str(config), "--scale", "mini"])
    assert re.search(rf"^{row}  \(own: .*; compared with denoising\)$", listed.output, re.MULTILINE), listed.output
    trees = {name: resolve(config, scale="mini", variant=name) for name in (row, "gnn", "vae", "base")}
    changes = {name: difference(tree, trees["base"]) for name, tree in trees.items()}
    of_parents = {path for name in ("gnn", "vae") for path in changes[name]}
    assert set(changes[row]) == of_parents
    own = {
        path for path in of_parents if changes[row][path] not in (changes["gnn"].get(path), changes["vae"].get(path))
    }
    assert own == {"data.neighbors.most"}

    manifest = tiny.make_corpus(tmp_path / "corpus")
    tree = tiny.experiment(row, config=config, epochs=1)
    assert (tree.model.expression_encoder.kind, tree.model.compressor.kind) == ("deep_set", "vae")
    tiny.train(manifest, tmp_path, tree=tree)
    history = pd.read_csv(tmp_path / "model/history.csv")
    assert history["step"].max() == tiny.TRAINING["steps_per_epoch"]
    assert history[["loss", "reconstruction", "classification", "divergence"]].notna().all(axis=None)


def test_rows_of_the_page_train_with_its_component_and_its_loss(project):
    rows = [Path(file).stem for file, place, *_ in EXAMPLES if place is None]
    assert set(rows) == {"gnn_vae", "learned_location", "absolute"}
    run(project, "-c", TRAIN, *rows)
    for row in rows:
        history = pd.read_csv(project / "trained" / row / "model/history.csv")
        assert history.loc[history["split"] == "validation", "reconstruction"].notna().all()
    assert "LearnedLocationConfig" in (project / "config/schemas/experiment.schema.json").read_text()


def test_tests_of_the_page_pass_and_its_metric_has_its_card(project):
    names = re.findall(r"^def (test_\w+)", "".join(text for *_, text in EXAMPLES), re.MULTILINE)
    assert len(names) == 3
    files = [file for file, place, *_ in EXAMPLES if place == "end"]
    wanted = " or ".join([*names, "card_says_everything and balanced", "cards_of_a_task", "in_the_range and balanced"])
    printed = run(
        project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, "tests/metrics/test_cards.py", "-k", wanted
    )
    passed = re.search(r"(\d+) passed", printed)
    assert passed is not None
    assert int(passed[1]) == 3 + 1 + 4 + 1, printed


def test_the_metric_of_the_page_has_its_golden_values(project):
    file, wanted = "tests/metrics/test_golden_behaviour.py", "golden_values or balanced"
    printed = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", wanted)
    assert "7 passed" in printed, printed


def test_the_metric_of_the_page_can_be_a_column_of_the_table(project):
    name = "test_every_metric_of_table_1_is_among_the_main_ones"
    printed = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/tasks/test_scores.py", "-k", name)
    assert "1 passed" in printed
    assert "ct_balanced_lung" in (project / "config/tasks.yaml").read_text()


def test_the_examples_are_in_the_style_of_the_project(project):
    for command in (["check"], ["format", "--check"]):
        run(project, "-m", "ruff", *command, "--no-cache", "src", "tests")
