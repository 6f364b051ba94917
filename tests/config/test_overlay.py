import json
import shutil
import subprocess
import sys

import pytest
import yaml

from scprint2.config.overlay import assign_datasets, difference, list_variants, merge, resolve, resolve_all
from tests.helpers import CONFIG, VARIANTS


@pytest.fixture
def config(tmp_path):
    """A copy of the project's configuration that a test may change."""
    return shutil.copytree(CONFIG, tmp_path / "config")


def add_variant(config, name, **value):
    (config / "variants" / f"{name}.yaml").write_text(yaml.safe_dump({"title": name, "reference": "base", **value}))


def test_mappings_merge_key_by_key():
    assert merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}) == {"a": {"x": 1, "y": 3}}


def test_a_different_kind_replaces_the_node_whole():
    below = {"view": {"kind": "mask", "share": 0.3}}
    assert merge(below, {"view": {"kind": "downsample", "level": 1}}) == {"view": {"kind": "downsample", "level": 1}}
    assert merge(below, {"view": {"kind": "mask", "scored": "all"}})["view"] == {
        "kind": "mask",
        "share": 0.3,
        "scored": "all",
    }


def test_null_removes_a_key_and_may_name_an_absent_one():
    assert merge({"losses": {"a": 1, "b": 2}}, {"losses": {"a": None, "c": None}}) == {"losses": {"b": 2}}


def test_a_removal_survives_being_extended(config):
    add_variant(config, "child", extends=["no_classification"], set={"training": {"epochs": 1}})
    experiment = resolve(config, scale="mini", variant="child")
    assert "classification" not in experiment["losses"]
    assert experiment["training"]["epochs"] == 1


def test_two_parents_that_disagree_are_an_error_unless_settled(config):
    add_variant(config, "short", set={"training": {"epochs": 1}})
    add_variant(config, "long", set={"training": {"epochs": 9}})
    add_variant(config, "both", extends=["short", "long"])
    with pytest.raises(ValueError, match=r"'short' sets training.epochs to 1, 'long' sets it to 9"):
        resolve(config, scale="mini", variant="both")
    add_variant(config, "both", extends=["short", "long"], set={"training": {"epochs": 5}})
    assert resolve(config, scale="mini", variant="both")["training"]["epochs"] == 5


def test_two_rows_combine_without_touching_code(config):
    add_variant(config, "both", extends=["denoising", "no_classification"])
    experiment = resolve(config, scale="mini", variant="both")
    assert experiment["views"]["corrupted"]["kind"] == "downsample"
    assert "classification" not in experiment["losses"]


def test_a_missing_constant_is_named(config):
    add_variant(config, "wide", set={"model": {"dim": "$width"}})
    with pytest.raises(ValueError, match=r"no constant '\$width'; known: .*'dim'"):
        resolve(config, scale="mini", variant="wide")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"losses": {"reconstruction": {"views": ["nowhere"]}}},
            r"loss 'reconstruction' reads the views \['nowhere'\]",
        ),
        ({"views": {"generated": {"source": "generated"}}}, "must be a view before it"),
        ({"model": {"trunk": {"heads": 7}}}, "heads must divide dim"),
    ],
)
def test_an_experiment_that_contradicts_itself_is_refused(config, change, message):
    add_variant(config, "wrong", set=change)
    with pytest.raises(ValueError, match=message):
        resolve(config, scale="mini", variant="wrong")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Upper", {}, "a variant's name is made of"),
        ("typo", {"sett": {}}, "unknown keys"),
        ("lost", {"reference": "nobody"}, "no variant 'nobody'"),
    ],
)
def test_a_malformed_variant_file_is_refused(config, name, value, message):
    add_variant(config, name, **value)
    with pytest.raises(ValueError, match=message):
        list_variants(config)


def test_a_yaml_tag_builds_no_object(config):
    (config / "variants" / "bad.yaml").write_text("title: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(yaml.YAMLError):
        list_variants(config)


def test_an_unknown_scale_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"known: \['mini', 'paper', 'pocket'\]"):
        resolve(CONFIG, scale="huge", variant="base")


def test_planning_imports_no_torch():
    imports = "import sys; from scprint2.config import overlay, tasks; from scprint2.data import registry"
    command = [sys.executable, "-c", f"{imports}; print('torch' in sys.modules)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_differs_from_its_reference_only_as_recorded(variant):
    recorded = json.loads((CONFIG.parent / "tests/golden/variants.json").read_text())[variant]
    row = list_variants(CONFIG)[variant]
    tree = resolve(CONFIG, scale="paper", variant=variant)
    found = difference(tree, resolve(CONFIG, scale="paper", variant=row.reference))
    assert row.reference == recorded["reference"]
    assert json.loads(json.dumps(found)) == recorded["difference"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_overlay_holds_only_what_it_changes(variant):
    row = list_variants(CONFIG)[variant]
    base = resolve(CONFIG, scale="paper", variant="base")
    assert row.extends or repeated(row.overlay, base) == []


def repeated(overlay, below, path=""):
    """Paths of values that are as they were; a node of another kind replaces the old one whole, so it may repeat values."""
    if overlay.get("kind", below.get("kind")) != below.get("kind"):
        return []
    found = []
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            found += repeated(value, below[key], f"{path}{key}.")
        elif below.get(key, object()) == value:
            found.append(path + key)
    return found


def test_a_registry_can_say_which_datasets_play_a_role():
    registry = {"atlas": ("curated", "reference"), "mine": ("lung",), "other": ()}
    assert assign_datasets({"curated": "registry", "all": ["mine"], "gwps": "registry"}, registry, where="here") == {
        "curated": ["atlas"],
        "all": ["mine"],
        "gwps": [],
    }
    with pytest.raises(ValueError, match=r"here: no datasets \['typo'\] in the registry"):
        assign_datasets({"lung": ["typo"]}, registry, where="here")


def test_all_experiments_at_once_are_those_one_by_one_and_share_nothing():
    together = resolve_all(CONFIG, scale="mini")
    assert together == {name: resolve(CONFIG, scale="mini", variant=name) for name in list_variants(CONFIG)}
    together["base"]["training"]["epochs"] = 99
    assert together["denoising"]["training"]["epochs"] != 99
