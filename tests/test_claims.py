import shutil

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
    read_ledger,
    unknown_rows,
)
from scprint2.config.overlay import read_paper_settings
from scprint2.paper import read_paper
from tests.helpers import CONFIG, ROOT

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
    assert kinds == {"difference", "value", "setting", "missing", "untestable"}


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
            tree = read_paper_settings(CONFIG, claim.test.of)
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
    ("of", "path", "message"),
    [("bass", "training.epochs", "no row 'bass'"), ("base", "training.epoch", "no setting 'training.epoch'")],
)
def test_a_setting_that_is_not_there_is_refused(write, of, path, message):
    folder = write()
    text = yaml.safe_load((folder / "paper/claims.yaml").read_text())
    text["claims"][0]["test"] = {"kind": "setting", "of": of, "values": {path: 20}}
    (folder / "paper/claims.yaml").write_text(yaml.safe_dump(text))
    with pytest.raises(ValueError, match=message):
        read_ledger(folder)


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
