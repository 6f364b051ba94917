"""One set of versions, everywhere."""

import importlib.util
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.workflow.project import ROOT

spec = importlib.util.spec_from_file_location("generate", ROOT / "envs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)
PINS = generate.read_pins(ROOT / "requirements" / "lock.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [
    *PROJECT["dependencies"],
    *(name for extra in ("workflow", "baselines", "oracles", "docs", "dev") for name in EXTRAS[extra]),
]


@pytest.mark.parametrize("text", [text for text in DIRECT if not text.startswith(("scprint2", "torch>"))])
def test_lock_holds_what_the_project_asks_for(text):
    requirement = Requirement(text)
    version = PINS[canonicalize_name(requirement.name)].split("==")[1]
    assert Version(version) in requirement.specifier


def test_lock_has_a_hash_for_every_version_and_leaves_torch_out():
    text = (ROOT / "requirements/lock.txt").read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) == len(PINS)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not [name for name in PINS if name.startswith(("torch=", "triton", "nvidia-", "cuda-"))]
    assert "torch" not in PINS


@pytest.mark.parametrize("family", list(generate.FAMILIES))
def test_environment_files_say_what_the_lock_says(family):
    text = (ROOT / "envs" / f"{family}.yaml").read_text()
    assert text == generate.render(generate.FAMILIES[family], PINS)
    assert (ROOT / "envs" / f"{family}.post-deploy.sh").is_file()


def test_every_rule_names_an_environment_that_is_there():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = re.findall(r'conda:\s*"../envs/(\w+)\.yaml"', text)
    assert set(named) == set(generate.FAMILIES)
    assert len(named) == len(re.findall(r"^ *rule\b", text, re.MULTILINE))


def test_workflow_passes_its_own_linters():
    for command in (["snakefmt", "--check", "Snakefile", "rules"], ["snakemake", "--lint"]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_makefile_explains_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = text.partition(".PHONY:")[2].split("\n")[0].split()
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in targets if f"make {target} " not in printed] == []
