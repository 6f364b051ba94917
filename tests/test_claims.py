import re
import shutil
from collections import Counter

import pytest
import yaml

from scprint2.claims import (
    Claim,
    Difference,
    Ledger,
    Setting,
    Value,
    find_setting,
    printed_spread,
)
from scprint2.claims_checks import read_ledger, unknown_rows
from scprint2.claims_further import read_constants
from scprint2.claims_sources import further_sources, named_rows, read_paper_settings
from scprint2.paper import read_paper
from tests.helpers import CONFIG, ROOT

KINDS = ("difference", "value", "setting", "trend", "count", "missing", "untestable")
TREND = {
    **{"kind": "trend", "row": "base", "labels": ["cell_type"], "group": "deep", "lengths": [200, 8000]},
    **{"direction": "above", "agree": "all", "also_at": ["mini"]},
}
SHIPPED = yaml.safe_load((CONFIG / "paper" / "claims.yaml").read_text())


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return read_ledger(CONFIG)


@pytest.fixture
def write(tmp_path):
    """Write a ledger of one claim beside a copy of the configuration, and return the folder of that."""

    def write_claim(**changes) -> str:
        test = {"kind": "difference", "rows": ["denoising"], "against": ["base"], "measures": ["denoise"]}
        test |= {"direction": "above", "agree": "all", "also_at": ["mini"]}
        claim = {"id": "one", "section": "a", "place": "Results 1", "quote": "21 against 2.5", "test": test}
        shutil.copytree(CONFIG, tmp_path / "config")
        test |= changes.pop("test", {})
        text = yaml.safe_dump({"sections": {"a": "A"}, "claims": [claim | changes]})
        (tmp_path / "config/paper/claims.yaml").write_text(text)
        return tmp_path / "config"

    return write_claim


def test_the_shipped_ledger_names_measures_and_settings_that_are_there_and_repeats_the_printed_table(ledger):
    """Reading it checks every measure, setting and number of Table 1 against the configuration."""
    assert len(ledger.claims) >= 60
    assert {claim.section for claim in ledger.claims} == set(ledger.sections)
    kinds = {claim.test.kind for claim in ledger.claims}
    assert kinds == {"difference", "value", "setting", "trend", "count", "missing", "untestable"}


def test_the_shipped_ledger_names_only_rows_that_are_there(ledger):
    assert unknown_rows(ledger, config=CONFIG) == []


def test_a_row_of_another_name_is_found(write):
    folder = write(test={"rows": ["denoisng"], "against": ["base", "magik"]})
    assert unknown_rows(read_ledger(folder), config=CONFIG) == ["denoisng", "magik"]


def test_tolerances_are_the_printed_spread_of_base_and_twice_that_for_rows_that_were_trained_once(ledger):
    spread = printed_spread(read_paper(CONFIG / "paper" / "table1.csv"))
    values = [claim.test for claim in ledger.claims if isinstance(claim.test, Value)]
    for test in values:
        timed = test.measure == "gpu_min_per_epoch"
        expected = 0.1 * test.value if timed else spread[test.measure] * (1 if test.row == "base" else 2)
        assert test.tolerance == pytest.approx(expected), test


def test_every_setting_that_is_not_the_papers_says_why(ledger):
    for claim in ledger.claims:
        if isinstance(claim.test, Setting):
            code = claim.test.of == "code"
            tree = read_constants() if code else read_paper_settings(CONFIG, claim.test.of)
            same = all(find_setting(tree, path) == value for path, value in claim.test.values.items())
            assert same or claim.remark, claim.id


def test_sections_stand_together_in_their_order(ledger):
    order = list(ledger.sections)
    places = [order.index(claim.section) for claim in ledger.claims]
    assert places == sorted(places)


def test_a_ledger_of_one_claim_is_read(write):
    claim = read_ledger(write(numbers=[21], printed={"denoising/denoise": 21, "base/denoise": 2.5})).claims[0]
    assert isinstance(claim, Claim)
    assert isinstance(claim.test, Difference)
    assert claim.test.measures == ["denoise"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": {"measures": ["denoize"]}}, r"no measures \['denoize'\]; known are the columns"),
        ({"test": {"measures": ["embed/lung/scib_bioo"]}}, "no measures"),
        ({"test": {"measures": ["embed/denoise/scib_bio"]}}, "no measures"),
        ({"test": {"direction": "higher"}}, "direction"),
        ({"test": {"also_at": ["paper"]}}, "also_at"),
        ({"test": {"rows": []}}, "at least 1 item"),
        ({"test": {"tolerence": 1}}, "Extra inputs"),
        ({"test": {"direction": "same", "measures": ["gpu_min_per_epoch"]}}, "needs the paper's spread of base"),
        ({"test": {"kind": "guess"}}, "guess"),
        ({"test": {"measures": ["open_problem/scib_total"]}}, "no measures"),
        ({"test": {"measures": ["open_problems/accuracy"]}}, "no measures"),
        ({"section": "b"}, r"no sections \['b'\]"),
        ({"numbers": ["21"]}, "valid number"),
        ({"numbers": [22]}, r"the numbers \[22.0\] do not stand in its quotation"),
        ({"quote": ""}, "at least 1 character"),
        ({"printed": {"denoising/denoise": 2.5}}, "2.5 for denoising/denoise, config/paper/table1.csv says 21"),
        ({"quote": "39", "printed": {"data_all/scib_pancreas": 39}}, "not sure that 39.0 belongs into"),
        ({"printed": {"denoising/ct_lung": 21}}, "config/paper/table1.csv says nothing"),
    ],
)
def test_a_mistake_is_refused_and_named(write, changes, message):
    with pytest.raises(ValueError, match=message):
        read_ledger(write(**changes))


def test_a_value_that_is_not_the_printed_one_is_refused(tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    claims = [claim for claim in SHIPPED["claims"] if claim["id"] == "gnn_denoise"]
    claims[0]["test"] = claims[0]["test"] | {"value": 45}
    (tmp_path / "config/paper/claims.yaml").write_text(yaml.safe_dump(SHIPPED | {"claims": claims}))
    with pytest.raises(ValueError, match=r"45\.0 for gnn/denoise, config/paper/table1\.csv says 44"):
        read_ledger(tmp_path / "config")


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"kind": "setting", "of": "bass", "values": {"training.epochs": 20}}, "no row 'bass'"),
        ({"kind": "setting", "of": "base", "values": {"training.epoch": 20}}, "no setting 'training.epoch'"),
        (
            {"kind": "setting", "of": "tasks", "values": {"denoise.removed": 0.7}},
            "tasks has no setting 'denoise.removed'",
        ),
        ({"kind": "setting", "of": "code", "values": {"location_step": 1}}, "code has no setting 'location_step'"),
        (
            {"kind": "count", "of": "models", "values": {"base.days": [1, 2]}},
            "'trainings', 'draws', 'truth_overlap'",
        ),
        ({"kind": "count", "of": "trainings", "values": {"base.days": [1]}}, "at least 2 items"),
        (
            {"kind": "count", "of": "trainings", "values": {"base": [1, 2]}},
            "'base' has 1 parts; a path in trainings has 2",
        ),
        ({"kind": "count", "of": "trainings", "values": {"base.weeks": [1, 2]}}, "no 'weeks' in trainings; known"),
        ({"kind": "count", "of": "trainings", "values": {"bass.days": [1, 2]}}, "no 'bass' in trainings"),
        (
            {"kind": "count", "of": "truth_overlap", "values": {"omnipath.gwps.share": [0, 1]}},
            "no 'gwps' in truth_overlap",
        ),
        ({"kind": "count", "of": "datasets", "values": {"cortex.expressed_genes": [0, 1]}}, "no 'cortex' in datasets"),
        ({"kind": "count", "of": "draws", "values": {"base.cell": [0, 1]}}, "no 'cell' in draws; known"),
        (
            {"kind": "count", "of": "truths_as_published", "values": {"omnipath.edges": [0, 1]}},
            "no 'edges' in truths_as_published; known",
        ),
        ({"kind": "count", "of": "listings", "values": {"gse.datasets": [0, 1]}}, "no 'gse' in listings; known"),
        (TREND | {"row": "vae"}, "the context sweep has no row 'vae'"),
        (TREND | {"labels": ["cell_typ"]}, r"no labels \['cell_typ'\] for base"),
        (TREND | {"lengths": [200, 8001]}, r"no lengths \[8001\] for base"),
    ],
)
def test_a_test_that_reads_what_is_not_there_is_refused(write, test, message):
    folder = write()
    text = yaml.safe_load((folder / "paper/claims.yaml").read_text())
    text["claims"][0]["test"] = test
    (folder / "paper/claims.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(ValueError, match=message):
        read_ledger(folder)


def test_the_documentation_says_how_many_claims_are_tested_in_which_way(ledger):
    """And it has a line for each kind."""
    text = (ROOT / "docs/claims.md").read_text()
    counts = Counter(claim.test.kind for claim in ledger.claims)
    numbers = ", ".join(f"{counts[kind]} `{kind}`" for kind in KINDS)
    assert f"{len(ledger.claims)} claims: {numbers}." in text.replace("\n", " ")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(KINDS)


def test_only_what_no_part_of_table_1_makes_is_run_for_a_claim(ledger):
    """`claims_all` runs these; the page of Table 1 names them as not run."""
    reading = {claim.id: further_sources(claim.test.model_dump()) for claim in ledger.claims}
    assert {name: sources for name, sources in reading.items() if sources} == {
        "context_sweep": ["context_sweep"],
        "smart_seq_depth": ["datasets"],
        "cells_seen": ["draws"],
        "expressed_genes": ["draws"],
        "cellmap": ["truths_as_published"],
        "open_problems_embedding": ["study open_problems"],
        "truth_overlap_gwps": ["truth_overlap"],
        "truth_overlap": ["truth_overlap"],
    }


def test_the_rows_whose_trainings_are_counted_are_named(ledger):
    counts = {claim.id: named_rows(claim.test.model_dump()) for claim in ledger.claims if claim.test.kind == "count"}
    assert counts["active_parameters"] == ["v2_small"]
    assert counts["truth_overlap"] == []
    assert counts["cells_seen"] == ["v2_small"] * 3


def test_the_example_of_the_documentation_is_a_claim():
    example = (ROOT / "docs/claims.md").read_text().split("```yaml")[1].split("```")[0]
    assert Claim.model_validate(yaml.safe_load(example)[0]).id == "gnn_improves"


def test_two_claims_of_one_id_are_refused():
    claim = SHIPPED["claims"][0]
    with pytest.raises(ValueError, match=r"\['corpus_size'\] are there twice"):
        Ledger.model_validate({"sections": SHIPPED["sections"], "claims": [claim, claim]})


def test_thousands_are_read_and_hyphens_before_words_are_no_minus():
    claim = next(claim for claim in SHIPPED["claims"] if claim["id"] == "base_training")
    assert Claim.model_validate(claim).numbers == [20, 20000, 64]
