from dataclasses import replace
from pathlib import Path

import pytest

from scprint2.config.overlay import read_scale
from scprint2.data.corpora import Rule, resolve_corpora, select
from scprint2.data.manifests import Listed, read_manifest, stem, write_manifest
from scprint2.data.registry import Dataset, read_registry

ROOT = Path(__file__).parents[2]
HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"
ANNOTATED = Rule(manifests=("cxg",), annotated=True)


def listed(name, **change):
    row = Listed(
        name=name,
        organism=HUMAN,
        url=(f"https://x/{name}.h5ad",),
        file=f"{name}.h5ad",
        label_key="cell_type_ontology_term_id",
        cell_types=5,
        primary="all",
    )
    return replace(row, **change)


def many(number):
    return [listed(f"d{index:04d}", organism=HUMAN if index % 2 else MOUSE) for index in range(number)]


def test_a_sample_is_seeded_and_does_not_depend_on_the_order_of_the_listing():
    rows = many(1000)
    chosen = [row.name for row in select(rows, replace(ANNOTATED, most=500))]
    assert len(chosen) == 500
    assert chosen == sorted(chosen)
    assert chosen == [row.name for row in select(rows[::-1], replace(ANNOTATED, most=500))]
    other = [row.name for row in select(rows, replace(ANNOTATED, most=500, seed=1))]
    assert 150 < len(set(chosen) & set(other)) < 350, "two samples of half share a quarter of all"


def test_a_sample_is_spread_evenly_over_what_it_is_taken_from():
    humans = sum(row.organism == HUMAN for row in select(many(1000), replace(ANNOTATED, most=500)))
    assert 215 < humans < 285, "within 3 standard deviations of 250"


def test_a_dataset_more_in_the_listing_changes_the_sample_by_at_most_one():
    before = {row.name for row in select(many(1000), replace(ANNOTATED, most=500))}
    after = {row.name for row in select([*many(1000), listed("new")], replace(ANNOTATED, most=500))}
    assert len(before - after) <= 1


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"cell_types": 1}, False),
        ({"cell_types": 0}, False),
        ({"cell_types": None}, True),
        ({"label_key": ""}, False),
    ],
)
def test_annotated_means_cell_types(change, kept):
    assert bool(select([listed("a", **change)], ANNOTATED)) == kept


@pytest.mark.parametrize("rule", [ANNOTATED, Rule(manifests=("cxg",)), Rule(within="other", most=1)])
@pytest.mark.parametrize(("primary", "kept"), [("all", True), ("some", True), ("", True), ("none", False)])
def test_no_rule_takes_a_dataset_without_a_primary_cell(rule, primary, kept):
    assert bool(select([listed("a", primary=primary)], rule)) == kept


def test_datasets_without_a_primary_cell_are_counted_for_each_corpus_that_would_hold_them(folder):
    rows = [listed("a"), listed("b", primary="none"), listed("c", primary="none", label_key="", organism=MOUSE)]
    write_manifest(folder / "cxg.tsv", rows, comment="all")
    entries = {
        "full": {"manifests": ["cxg", "tahoe"]},
        "annotated": {"manifests": ["cxg"], "annotated": True},
        "mice": {"manifests": ["cxg"], "organisms": [MOUSE]},
        "part": {"within": "full", "most": 1},
        "less": {"manifests": ["cxg"], "exclude": ["b"]},
        "tahoe": {"manifests": ["tahoe"]},
    }
    found = resolve(folder, entries)
    assert found.corpora["full"] == ["a", "t"]
    assert found.secondary == {"full": 2, "annotated": 1, "mice": 1, "less": 1}


def test_a_dataset_is_taken_out_of_a_corpus_by_name_before_a_sample_is_drawn(folder):
    entries = {
        "most": {"manifests": ["cxg"], "most": 2},
        "less": {"manifests": ["cxg"], "most": 2, "exclude": ["b"]},
        "inner": {"within": "most", "exclude": ["a", "c"]},
    }
    found = resolve(folder, entries)
    assert found.corpora["less"] == ["a", "c"]
    assert set(found.corpora["inner"]) == set(found.corpora["most"]) & {"b"}


def test_organisms_are_kept_by_id():
    rows = [listed("a"), listed("b", organism=MOUSE), listed("c", organism="NCBITaxon:7955")]
    assert [row.name for row in select(rows, Rule(manifests=("x",), organisms=(HUMAN, MOUSE)))] == ["a", "b"]


@pytest.fixture
def folder(tmp_path):
    write_manifest(
        tmp_path / "cxg.tsv", [listed("a", aliases=("id-a", "v1", "v2")), listed("b"), listed("c")], comment="all"
    )
    write_manifest(tmp_path / "tahoe.tsv", [listed("t", label_key="", cell_types=0)], comment="x\npartial: 1 of 14")
    return tmp_path


def resolve(folder, entries, registry=()):
    return resolve_corpora(entries, {row.name: row for row in registry}, folder=folder, where="scale x")


def test_corpora_are_lists_words_of_the_registry_and_rules_and_a_longer_listing_needs_no_other_change(folder):
    entries = {
        "mine": ["own"],
        "said": "registry",
        "cxg": {"manifests": ["cxg"]},
        "two": {"within": "cxg", "most": 2},
        "all": {"manifests": ["cxg", "tahoe"]},
    }
    registry = [Dataset("own", HUMAN), Dataset("word", HUMAN, roles=("said",))]
    found = resolve(folder, entries, registry)
    assert found.corpora["mine"] == ["own"]
    assert found.corpora["said"] == ["word"]
    assert found.corpora["cxg"] == ["a", "b", "c"]
    assert set(found.corpora["two"]) < {"a", "b", "c"}
    assert found.corpora["all"] == ["a", "b", "c", "t"]
    assert list(found.corpora) == list(entries)
    assert set(found.datasets) == {"own", "word", "a", "b", "c", "t"}
    assert found.partial == {"all": "manifest tahoe: 1 of 14"}
    write_manifest(folder / "cxg.tsv", [listed("a"), listed("z")], comment="later")
    assert resolve(folder, entries, registry).corpora["all"] == ["a", "t", "z"]


@pytest.mark.parametrize(
    "test",
    [
        Dataset("a", HUMAN),
        Dataset("x", HUMAN, file="v2.h5ad"),
        Dataset("x", HUMAN, url=("https://datasets.cellxgene.cziscience.com/v1.h5ad",)),
        Dataset("x", HUMAN, url=("https://x/id-a.h5ad",)),
    ],
)
def test_a_test_set_enters_no_corpus_under_any_of_its_names(folder, test):
    assert resolve(folder, {"cxg": {"manifests": ["cxg"]}}, [test]).corpora["cxg"] == ["b", "c"]


def test_a_test_set_has_the_study_that_it_was_listed_with_so_that_its_donors_are_known(folder):
    rows = [listed("a", aliases=("v1", "v2"), collection="study"), listed("b", collection="study"), listed("c")]
    write_manifest(folder / "cxg.tsv", rows, comment="all")
    tests = [
        Dataset("x", HUMAN, url=("https://x/v1.h5ad",)),
        Dataset("y", HUMAN, file="v2.h5ad", collection="said"),
        Dataset("z", HUMAN),
    ]
    found = resolve(folder, {"cxg": {"manifests": ["cxg"]}}, tests)
    assert {name: row.collection for name, row in found.datasets.items()} == {
        "x": "study", "y": "said", "z": "", "b": "study", "c": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": {"manifest": ["cxg"]}}, r"corpus 'a': unknown keys \['manifest'\]; allowed: \['manifests'"),
        ({"a": {"manifests": ["cxg"], "within": "b"}}, "one of manifests and within"),
        ({"a": {"most": 3}}, "one of manifests and within"),
        ({"a": {"manifests": ["cxg"], "most": 0}}, "most is 0"),
        ({"a": {"manifests": ["cxg"], "exclude": ["b", "typo"]}}, r"corpus 'a' excludes \['typo'\], which no manifest"),
        ({"a": {"within": "b"}}, r"\['a'\] lie within corpora that are not rules"),
        ({"a": {"within": "b"}, "b": {"within": "a"}}, "or within each other"),
        ({"a": {"manifests": ["none"]}}, "no manifest .*none.tsv"),
        ({"a": ["typo"]}, r"no datasets \['typo'\]"),
    ],
)
def test_a_mistake_in_a_rule_says_where_and_what_is_allowed(folder, entries, message):
    with pytest.raises(ValueError, match=message):
        resolve(folder, entries)


def test_a_dataset_of_two_manifests_is_refused(folder):
    write_manifest(folder / "other.tsv", [listed("a")], comment="x")
    with pytest.raises(ValueError, match="dataset 'a' is in the manifests 'cxg' and 'other'"):
        resolve(folder, {"a": {"manifests": ["cxg", "other"]}})


def paper():
    scale = read_scale(ROOT / "config", "paper")
    registry = read_registry(ROOT / scale["registry"])
    return registry, resolve_corpora(scale["corpora"], registry, folder=ROOT / "config/manifests", where="paper")


def test_the_corpora_of_the_papers_scale_are_those_of_table_1_and_none_is_empty():
    _, found = paper()
    assert list(found.corpora) == ["curated", "human_200", "cxg_full", "tahoe", "cxg_tahoe", "all"]
    assert all(found.corpora.values())
    assert set(found.corpora["human_200"]) <= set(found.corpora["curated"]) <= set(found.corpora["cxg_full"])
    assert set(found.corpora["all"]) > set(found.corpora["cxg_tahoe"]) > set(found.corpora["tahoe"])
    assert len(found.corpora["tahoe"]) == 14


def test_no_dataset_of_the_papers_registry_is_in_a_corpus():
    registry, found = paper()
    tested = {stem(name) for row in registry.values() for name in (row.name, row.file, *row.url)}
    members = {name for names in found.corpora.values() for name in names}
    rows = [
        row
        for source in ("cellxgene", "tahoe", "scbasecount")
        for row in read_manifest(ROOT / f"config/manifests/{source}.tsv").datasets
    ]
    assert not [row.name for row in rows if row.name in members and row.is_known_as(tested)]
    assert not members & set(registry)
