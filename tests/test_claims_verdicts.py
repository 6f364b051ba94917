import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from scprint2.claims import Claim, Ledger
from scprint2.claims_checks import read_ledger
from scprint2.claims_further import Further, read_constants
from scprint2.claims_page import EXPLAINED, render_claims
from scprint2.claims_results import read_long, read_results
from scprint2.claims_sources import read_paper_settings
from scprint2.claims_verdicts import KEYS, VERDICTS, combine, find, judge_claims, to_frame
from scprint2.config.tasks import read_tasks
from scprint2.paper import read_paper
from scprint2.stats import Interval
from scprint2.table import LONG_KEYS
from tests.helpers import CONFIG

PAPER = read_paper(CONFIG / "paper" / "table1.csv")
COLUMNS = {
    "denoise": {"task": "denoise", "datasets": ["deep", "smart"], "metric": "spearman_gain"},
    "scib_lung": {"task": "embed", "datasets": ["lung"], "metric": "scib_total"},
    "scib_pancreas": {"task": "embed", "datasets": ["pancreas"], "metric": "scib_total"},
}
ROLES = {"lung": ["lung"], "pancreas": ["pancreas"]}
DENOISE = {"base": (2, 3, 4), "denoising": (20, 21, 22), "gnn": (2, 3, 5), "magic": (30, 30, 30), "mse": (1,)}
LUNG = {"base": (50, 51, 52), "denoising": (50.2, 51, 51.8), "gnn": (40, 41, 42)}


def make_long(scale: str) -> pd.DataFrame:
    lines = []
    for variant, values in DENOISE.items():
        section = "baseline" if variant == "magic" else "Task"
        for seed, value in enumerate(values):
            for dataset, shift in (("deep", 1), ("smart", -1)):
                found = ("denoise", dataset, "spearman_gain", value + shift, "ok", "", 1.0, "1", "numpy 2")
                lines.append((section, variant, "denoise", scale, variant, seed, *found))
    for variant, values in LUNG.items():
        for seed, value in enumerate(values):
            found = ("embed", "lung", "scib_total", value, "ok", "", 1.0, "1", "numpy 2")
            lines.append(("Task", variant, "scib_lung", scale, variant, seed, *found))
            lines.append(("Task", variant, "", scale, variant, seed, "embed", "lung", "scib_batch", value, *found[4:]))
        failed = ("embed", "pancreas", "scib_total", np.nan, "failed", "a part failed", np.nan, "")
        lines.append(("Task", variant, "", scale, variant, 0, *failed))
    lines.append(("Task", "mse", "", scale, "mse", 0, "cost", "", "gpu_min_per_epoch", 125, "ok", "", np.nan, ""))
    return pd.DataFrame(lines, columns=pd.Index(LONG_KEYS))


def make_claim(**test) -> Claim:
    shared = {"id": "one", "section": "a", "place": "Results 1", "quote": "better"}
    return Claim.model_validate(shared | {"test": test})


def difference(direction: str, *, row="denoising", against="base", measures=("denoise",), agree="all") -> Claim:
    names = {"rows": [row], "against": [against], "measures": list(measures)}
    return make_claim(kind="difference", **names, direction=direction, agree=agree, also_at=["mini"])


def value(number: float, tolerance: float, *, row="base", measure="denoise") -> Claim:
    return make_claim(kind="value", row=row, measure=measure, value=float(number), tolerance=float(tolerance))


@pytest.fixture
def judge(tmp_path):
    """Judge one claim from the table as it is written and read."""

    def judge_one(claim: Claim, *, scale: str = "paper", partial: dict[str, str] | None = None):
        ledger = Ledger(sections={"a": "A"}, claims=[claim])
        make_long(scale).to_csv(tmp_path / "long.csv", index=False)
        results = read_results(
            read_long(tmp_path / "long.csv"),
            ledger,
            columns=COLUMNS,
            roles=ROLES,
            further=Further(experiments={"base": {"training": {"epochs": 20}}}, partial=partial or {}),
            paper=PAPER,
        )
        return judge_claims(ledger, results)[0]

    return judge_one


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (difference("above"), "reproduced"),
        (difference("below"), "contradicted"),
        (difference("above", row="gnn"), "undecided"),  # the interval of 0.33 holds zero
        (difference("same"), "contradicted"),
        (difference("not_below"), "reproduced"),
        (difference("not_above", row="denoising", against="base", measures=("scib_lung",)), "reproduced"),
        (difference("above", against="magic"), "contradicted"),
        (difference("above", measures=("denoise", "scib_lung")), "undecided"),
        (difference("above", row="gnn", measures=("denoise", "scib_lung")), "contradicted"),
        (difference("above", row="gnn", measures=("denoise", "scib_lung"), agree="most"), "contradicted"),
        (difference("below", row="gnn", measures=("embed/lung/scib_batch",)), "reproduced"),
        (difference("above", row="mse", measures=("scib_lung",)), "not tested yet"),
        (difference("above", row="vae"), "not tested yet"),
        (difference("above", measures=("embed/pancreas/scib_total",)), "not tested yet"),
        (value(2.5, 5), "reproduced"),
        (value(2.5, 1.5), "undecided"),
        (value(44, 3), "contradicted"),
        (value(130, 13, row="mse", measure="gpu_min_per_epoch"), "not tested yet"),  # one seed, so no interval
        (make_claim(kind="setting", of="base", values={"training.epochs": 20}), "same setting"),
        (make_claim(kind="setting", of="base", values={"training.epochs": 21}), "other setting"),
        (make_claim(kind="missing", needs="its data"), "not tested yet"),
        (make_claim(kind="untestable", why="It is about others."), "not testable"),
    ],
)
def test_each_verdict_at_the_papers_scale(judge, claim, verdict):
    judged = judge(claim)
    assert judged.verdict == verdict
    assert judged.here == ""
    explained = verdict in ("not tested yet", "not testable", "undecided")
    assert bool(judged.reason) == (explained or len(judged.outcomes) > 1)


@pytest.mark.parametrize(
    ("claim", "here"),
    [
        (difference("above"), "same direction here, no evidence"),
        (difference("below"), "opposite direction here, no evidence"),
        (difference("above", row="gnn"), "no direction can be told here"),
        (difference("above", row="vae"), "no interval here"),
        (value(2.5, 5), ""),
    ],
)
@pytest.mark.parametrize("scale", ["mini", "pocket"])
def test_no_other_scale_gives_a_verdict_on_the_paper(judge, claim, here, scale):
    judged = judge(claim, scale=scale)
    assert judged.verdict == "not testable at this scale"
    assert judged.reason
    assert judged.here == (here if scale == "mini" or not here else "its direction means nothing here")
    assert not {"reproduced", "contradicted"} & set(to_frame([judged], scale=scale).astype(str).to_numpy().ravel())


def test_an_interval_is_that_by_hand(judge):
    outcome = judge(difference("above")).outcomes[0]
    assert outcome.ours == pytest.approx(18)
    # sums of squares 2, 2 and 14/3 over two degrees of freedom each; magic and the single seed of mse do not count
    half = t.ppf(0.975, 6) * np.sqrt((2 + 2 + 14 / 3) / 6) * np.sqrt(2 / 3)
    assert (outcome.interval.low, outcome.interval.high) == pytest.approx((18 - half, 18 + half))
    both = judge(difference("above", measures=("denoise", "scib_lung"))).outcomes[0]
    wider = half * t.ppf(1 - 0.025 / 2, 6) / t.ppf(0.975, 6)
    assert both.interval.high - 18 == pytest.approx(wider), "two numbers of one claim share its 5 %"
    of_mean = judge(value(2.5, 5)).outcomes[0]
    assert of_mean.interval.high - 3 == pytest.approx(half / np.sqrt(2))


def test_a_baseline_lends_no_spread(judge):
    """MAGIC gives the same each time; its spread of zero must not narrow the interval."""
    against = judge(difference("below", against="magic")).outcomes[0].interval
    base = judge(difference("above")).outcomes[0].interval
    assert against.high - against.low == pytest.approx(base.high - base.low)


def test_what_is_missing_is_named(judge):
    assert "the row 'vae' is not in this table" in judge(difference("above", row="vae")).reason
    assert "a part failed" in judge(difference("above", measures=("embed/pancreas/scib_total",))).reason
    assert "no row has two seeds" in judge(value(130, 13, row="mse", measure="gpu_min_per_epoch")).reason


@pytest.mark.parametrize("claim", [difference("above"), value(2.5, 5)])
def test_no_verdict_rests_on_a_part_of_a_corpus(judge, claim):
    judged = judge(claim, partial={"base": "4 datasets of 812"})
    assert judged.verdict == "not tested yet"
    assert "base was trained on a part of its corpus (4 datasets of 812)" in judged.reason


@pytest.mark.parametrize(
    ("claim", "paper"),
    [
        (difference("above"), "21 against 2.5: as claimed"),
        (difference("below"), "21 against 2.5: not as claimed"),
        (difference("above", row="mse", measures=("scib_lung",)), "54 against 50.1: as claimed"),
        (difference("same", measures=("scib_lung",)), "52.6 against 50.1: not as claimed"),  # base varies by 2.1
        (difference("above", row="medium"), "blank against 2.5"),
        (
            difference("above", row="data_all", measures=("scib_pancreas",)),
            "39 against 42.3, of which one may belong into another column",
        ),
    ],
)
def test_the_papers_own_table_is_held_against_its_text(judge, claim, paper):
    assert judge(claim).outcomes[0].paper == paper


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 2, "in range"), (-2, -1, "out of range"), (-1, 1, "partly in range"), (0, 1, "partly in range")],
)
def test_a_direction_needs_an_interval_without_zero(low, high, expected):
    assert find(Interval(float(low), float(high)), Interval(0.0, np.inf)) == expected


@pytest.mark.parametrize(
    ("findings", "all_of_them", "most"),
    [
        ("iii", "in range", "in range"),
        ("iio", "out of range", "in range"),
        ("iip", "partly in range", "in range"),
        ("iin", "no interval", "in range"),
        ("ioo", "out of range", "out of range"),
        ("io", "out of range", "out of range"),  # half is not most
        ("ipp", "partly in range", "partly in range"),
        ("inn", "no interval", "no interval"),
    ],
)
def test_several_numbers_make_one_finding(findings, all_of_them, most):
    words = {"i": "in range", "o": "out of range", "p": "partly in range", "n": "no interval"}
    given = [words[letter] for letter in findings]
    assert combine(given, agree="all") == all_of_them
    assert combine(given, agree="most") == most


def test_scales_are_not_mixed():
    mixed = pd.concat([make_long("mini"), make_long("paper")])
    ledger = Ledger(sections={"a": "A"}, claims=[difference("above")])
    with pytest.raises(ValueError, match=r"the scales \['mini', 'paper'\]"):
        read_results(mixed, ledger, columns=COLUMNS, roles=ROLES, further=Further(), paper=PAPER)


def shipped():
    """The shipped ledger, judged from a table that has two columns only."""
    ledger = read_ledger(CONFIG)
    roles = {role: [role] for role in ("denoise", "lung", "pancreas", "gwps", "omni")}
    columns = {
        name: {**column, "datasets": roles[column["role"]]}
        for name, column in read_tasks(CONFIG, scale="mini")["columns"].items()
    }
    names = {claim.test.of for claim in ledger.claims if claim.test.kind == "setting"}
    experiments = {name: read_paper_settings(CONFIG, name) for name in names - {"code"}} | {"code": read_constants()}
    further = Further(experiments=experiments, counts={name: {} for name in ("trainings", "truth_overlap", "datasets")})
    results = read_results(make_long("mini"), ledger, columns=columns, roles=roles, further=further, paper=PAPER)
    return ledger, judge_claims(ledger, results)


def test_the_page_and_the_table_hold_every_claim_and_need_nothing_from_elsewhere():
    ledger, judged = shipped()
    page = render_claims(judged, ledger, scale="mini")
    names = [claim.id for claim in ledger.claims]
    assert re.findall(r'<article class="[^"]+" id="(\w+)"', page) == names
    assert page.count("<section>") == len(ledger.sections)
    assert not re.findall(r"(?:src|href|url)\s*[=(]|<script|<link|@import", page)
    assert "no finding of the paper can be reproduced or contradicted" in page
    frame = to_frame(judged, scale="mini")
    assert frame.columns.tolist() == list(KEYS)
    assert frame["claim"].drop_duplicates().tolist() == names
    assert set(frame["verdict"]) <= set(VERDICTS)
    assert (frame["reason"].ne("") | frame["verdict"].str.contains("setting")).all()


def test_what_the_paper_says_is_escaped_and_each_verdict_explained(judge):
    claim = difference("above").model_copy(update={"quote": "<b>1</b>"})
    page = render_claims([judge(claim)], Ledger(sections={"a": "A"}, claims=[claim]), scale="paper")
    assert "&lt;b&gt;1&lt;/b&gt;" in page
    assert set(EXPLAINED) == set(VERDICTS)
