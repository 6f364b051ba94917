"""Claims held against what no part of Table 1 makes: studies, the context sweep, known networks, trainings, datasets."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from scprint2.claims import Claim, Ledger
from scprint2.claims_further import Further, read_further
from scprint2.claims_page import render_claims
from scprint2.claims_results import read_results
from scprint2.claims_sources import further_sources
from scprint2.claims_verdicts import Judged, judge_claims, to_frame
from scprint2.data.genes import LOCATION_STEP_BP
from scprint2.data.manifests import Listed, write_manifest
from scprint2.metrics.overlap import compare_truths
from scprint2.paper import read_paper
from scprint2.table import LONG_KEYS
from scprint2.tasks.context_sweep import COLUMNS as SWEEP_COLUMNS
from tests.helpers import CONFIG

HOW_TO = "Not run; made by a command"
ROWS = {"base": 3, "gnn": 3, "pca": 1}  # with their seeds
STUDY = {"base": (50, 51, 52), "gnn": (60, 61, 62), "pca": (40,)}
GAINS = {"base": (-3, -2, -1), "gnn": (10, 11, 12)}
NETWORKS = {
    "one": frozenset({("a", "b"), ("a", "c"), ("b", "c"), ("b", "a")}),
    "two": frozenset({("a", "b"), ("c", "b")}),
}


def make_long(scale: str) -> pd.DataFrame:
    """A table that has the rows and nothing that a claim here asks for."""
    score = {
        "column": "",
        "scale": scale,
        "task": "denoise",
        "dataset": "deep",
        "metric": "spearman_gain",
        "value": 1.0,
    }
    lines = [
        score
        | {"section": "baseline" if row == "pca" else "Task", "name": row, "variant": row, "seed": seed, "status": "ok"}
        for row, seeds in ROWS.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(lines).reindex(columns=pd.Index(LONG_KEYS))


def write_study(folder) -> dict[str, Any]:
    """Two datasets, one above and one below the mean that is to be found."""
    folders = []
    for row, values in STUDY.items():
        for seed, value in enumerate(values):
            path = folder / row / f"seed_{seed}" / "embed"
            path.mkdir(parents=True)
            folders.append(str(path.parent))
            for dataset, shift in (("high", 5), ("low", -5)):
                line = {"scale": "mini", "variant": row, "seed": seed, "task": "embed", "dataset": dataset}
                line |= {"metric": "open_problems_total", "value": value + shift, "status": "ok", "reason": ""}
                line |= {"version": "scprint2 1", "versions": "numpy 2"}
                pd.DataFrame([line]).to_csv(path / f"{dataset}.tsv", sep="\t", index=False)
    return {"datasets": ["high", "low"], "scores": folders}


def write_sweep(path) -> str:
    """Gains hold for single calls of deep cells from 200 to 8,000 genes; all else would say the opposite."""
    lines = []
    for row, gains in GAINS.items():
        for seed, gain in enumerate(gains):
            run = {"variant": row, "seed": seed, "dataset": "cortex", "label": "cell_type", "status": "ok"}
            for group, calls, shift in (("deep", "single", 0), ("all", "single", -50), ("deep", "smoothed", 50)):
                for genes, accuracy in ((200, 40), (2000, 90), (8000, 40 + gain + shift)):
                    lines.append(run | {"group": group, "calls": calls, "genes": genes, "accuracy": accuracy})
            failed = {"label": "sex", "group": "deep", "calls": "single", "genes": 8000, "status": "failed"}
            lines.append(run | failed)
    columns = pd.Index([*SWEEP_COLUMNS, "variant", "seed", "dataset"])
    pd.DataFrame(lines).reindex(columns=columns).to_csv(path, index=False)
    return str(path)


def write_training(folder) -> list[str]:
    model = folder / "model"
    model.mkdir()
    genes = {"gene_id": ["a", "b", "c"], "organism": ["human", "human", "mouse"], "is_tf": [True, False, True]}
    files = {
        "record": {
            "parameters": {"total": 30, "trained": 20},
            "validation_accuracy": {"sex": {"accuracy": 0.75, "cells": 8}},
        },
        "cost": {"seconds": 172_800},
        "vocabulary": {"genes": genes, "labels": []},
    }
    for name, value in files.items():
        (model / f"{name}.json").write_text(json.dumps(value))
    (folder / "corpus.json").write_text(json.dumps({"shards": [{"cells": 5}, {"cells": 7}]}))
    return [str(model), str(folder / "corpus.json")]


def write_draws(path) -> str:
    path.write_text(json.dumps({"distinct_profiles": 2_000_000_000, "drawn_at_least_3200": 33.4}))
    return str(path)


def write_truth(path) -> str:
    """Three pairs of three genes, of which one is there both ways and one is a gene with itself."""
    edges = [("A", "B"), ("B", "A"), ("A", "C"), ("C", "C")]
    pd.DataFrame(edges, columns=["regulator", "target"]).to_csv(path, sep="\t", index=False)
    return str(path)


def write_listing(path, *, comment: str = "of a day") -> str:
    rows = [
        Listed(name=name, organism="NCBITaxon:9606", url=(f"https://a.b/{name}",), file=name) for name in ("one", "two")
    ]
    write_manifest(path, rows, comment=comment)
    return str(path)


@pytest.fixture
def everything(tmp_path) -> dict[str, Any]:
    """What `read_further` reads, all of it made."""
    compare_truths(NETWORKS).assign(organism="human").to_csv(tmp_path / "truth_overlap.csv", index=False)
    cells = pd.DataFrame({"genes": [10, 20, 900], "reason": ["kept", "kept", "few genes"]})
    cells.to_parquet(tmp_path / "read.parquet")
    return {
        "experiments": {"tasks": {"annotate": {"smoothing": {"strength": 0.1}}}},
        "partial": {},
        "counted": {
            "trainings": {"base": write_training(tmp_path)},
            "draws": {"base": [write_draws(tmp_path / "draws.json")]},
            "truths_as_published": {"cellmap": [write_truth(tmp_path / "cellmap.tsv.gz")]},
            "datasets": {"cortex": [str(tmp_path / "read.parquet")]},
            "listings": {
                "whole": [write_listing(tmp_path / "whole.tsv")],
                "half": [write_listing(tmp_path / "half.tsv", comment="partial: 2 of 9 samples")],
            },
        },
        "figures": {
            "context_sweep": write_sweep(tmp_path / "context_sweep.csv"),
            "truth_overlap": str(tmp_path / "truth_overlap.csv"),
        },
        "studies": {"open_problems": write_study(tmp_path / "study")},
        "absent": {},
    }


def judge(claim: Claim, further: Further, *, scale: str = "paper") -> Judged:
    ledger = Ledger(sections={"a": "A"}, claims=[claim])
    paper = read_paper(CONFIG / "paper" / "table1.csv")
    results = read_results(make_long(scale), ledger, columns={}, roles={}, further=further, paper=paper)
    return judge_claims(ledger, results)[0]


def make_claim(**test) -> Claim:
    return Claim.model_validate({"id": "one", "section": "a", "place": "Results 1", "quote": "better", "test": test})


def study(direction: str, *, row: str = "gnn", against: str = "base") -> Claim:
    names = {"rows": [row], "against": [against], "measures": ["open_problems/open_problems_total"]}
    return make_claim(kind="difference", **names, direction=direction, agree="all", also_at=["mini"])


def trend(direction: str, *, row: str = "gnn", labels=("cell_type",), lengths=(200, 8000)) -> Claim:
    test = {"row": row, "labels": list(labels), "group": "deep", "lengths": list(lengths), "direction": direction}
    return make_claim(kind="trend", **test, agree="all", also_at=["mini"])


def count(of: str, **values: list[float]) -> Claim:
    return make_claim(
        kind="count", of=of, values={path.replace("__", "."): between for path, between in values.items()}
    )


REPRODUCED = [
    study("above"),
    study("above", against="pca"),
    trend("above"),
    trend("below", row="base"),
    count("truth_overlap", one__two__shared=[1, 1], two__one__share=[0.4, 0.6], one__two__edges=[4, 4]),
    count("trainings", base__parameters=[19, 21], base__days=[1.5, 2.5], base__cells=[12, 12], base__organisms=[2, 2]),
    count("trainings", base__genes=[3, 3], base__factors=[2, 2]),
    count("trainings", base__accuracy_sex=[75, 75]),
    count("datasets", cortex__expressed_genes=[15, 15]),
    count("draws", base__distinct_profiles=[1.5e9, 2.5e9], base__drawn_at_least_3200=[32, 34]),
    count("truths_as_published", cellmap__connections=[3, 3], cellmap__genes=[3, 3]),
    count("listings", whole__datasets=[2, 2]),
]
CONTRADICTED = [
    study("below"),
    trend("below"),
    trend("above", row="base"),
    count("truth_overlap", one__two__share=[0.01, 0.04]),
    count("truth_overlap", one__two__shared=[1, 1], two__one__shared=[2, 3]),
    count("trainings", base__days=[2.1, 2.5]),
    count("datasets", cortex__expressed_genes=[5500, 6500]),
    count("draws", base__drawn_at_least_3200=[30, 32]),
    count("truths_as_published", cellmap__connections=[4, 4]),
    count("listings", whole__datasets=[20_000, 20_500]),
]
OPTIONAL = [claim for claim in REPRODUCED if further_sources(claim.test.model_dump())]
NOT_YET = [
    (study("above", row="vae"), "the row 'vae' is not in this table"),
    (trend("above", lengths=(200, 6000)), "no accuracy of cell_type (deep cells) from 200 and 6000 genes"),
    (trend("above", labels=("sex",)), "no accuracy of sex (deep cells) at all"),
    (count("truth_overlap", one__three__share=[0, 1]), "no 'three' among what was counted here"),
    (count("trainings", gnn__days=[0, 9]), "no 'gnn' among what was counted here"),
    (count("draws", gnn__steps=[0, 9]), "no 'gnn' among what was counted here"),
    (count("listings", half__datasets=[2, 2]), "the listing of half is not complete (2 of 9 samples)"),
]


@pytest.mark.parametrize("claim", REPRODUCED)
def test_what_is_there_reproduces_a_claim(everything, claim):
    assert judge(claim, read_further(**everything)).verdict == "reproduced"


@pytest.mark.parametrize("claim", CONTRADICTED)
def test_what_is_there_contradicts_a_claim(everything, claim):
    assert judge(claim, read_further(**everything)).verdict == "contradicted"


@pytest.mark.parametrize("claim", OPTIONAL)
@pytest.mark.parametrize("scale", ["paper", "mini"])
def test_what_was_not_made_is_not_run_and_the_command_is_named(everything, claim, scale):
    (source,) = further_sources(claim.test.model_dump())
    nothing = everything | {"figures": {}, "counted": {}, "studies": {}, "absent": {source: HOW_TO}}
    judged = judge(claim, read_further(**nothing), scale=scale)
    assert (judged.verdict, judged.here) == (
        ("not run", "") if scale == "paper" else ("not testable at this scale", "not run")
    )
    assert HOW_TO in judged.reason
    assert judged.outcomes == ()
    assert HOW_TO in render_claims([judged], Ledger(sections={"a": "A"}, claims=[claim]), scale=scale)


@pytest.mark.parametrize(("claim", "reason"), NOT_YET)
def test_what_is_not_in_what_was_made_is_named(everything, claim, reason):
    judged = judge(claim, read_further(**everything))
    assert judged.verdict == "not tested yet"
    assert reason in judged.reason


@pytest.mark.parametrize("claim", REPRODUCED)
def test_no_other_scale_gives_a_verdict(everything, claim):
    judged = judge(claim, read_further(**everything), scale="mini")
    assert judged.verdict == "not testable at this scale"
    assert judged.here == ("" if claim.test.kind == "count" else "same direction here, no evidence")
    assert judged.outcomes[0].ours is not None
    assert not {"reproduced", "contradicted"} & set(to_frame([judged], scale="mini").astype(str).to_numpy().ravel())


def test_a_trend_has_the_interval_of_the_gains_of_its_row(everything):
    outcome = judge(trend("above"), read_further(**everything)).outcomes[0]
    assert outcome.ours == pytest.approx(11)  # single calls of deep cells, from 200 and 8000 genes
    half = t.ppf(0.975, 4) * 1 / np.sqrt(3)  # both rows vary by 1
    assert (outcome.interval.low, outcome.interval.high) == pytest.approx((11 - half, 11 + half))


def test_other_scales_show_the_trend_from_the_fewest_to_the_most_genes_that_they_have(everything):
    judged = judge(trend("above", lengths=(1, 2)), read_further(**everything), scale="mini")
    assert judged.outcomes[0].ours == pytest.approx(11)


def test_a_study_is_averaged_over_its_datasets_and_its_rows_seeds(everything):
    outcome = judge(study("above"), read_further(**everything)).outcomes[0]
    assert outcome.ours == pytest.approx(10)
    half = t.ppf(0.975, 4) * np.sqrt(2 / 3)
    assert outcome.interval.low == pytest.approx(10 - half)


@pytest.mark.parametrize(
    "claim",
    [
        study("above"),
        trend("above", row="base"),
        count("trainings", base__cells=[12, 12]),
        count("draws", base__distinct_profiles=[0, 3e9]),
    ],
)
def test_no_verdict_rests_on_a_part_of_a_corpus(everything, claim):
    judged = judge(claim, read_further(**everything | {"partial": {"base": "4 datasets of 812"}}))
    assert judged.verdict == "not tested yet"
    assert "4 datasets of 812" in judged.reason


def test_a_number_that_lacks_something_to_be_the_papers_is_shown_and_not_judged(everything):
    test = {"values": {"base.distinct_profiles": [1, 2]}, "lacks": "a training as long as the paper's"}
    judged = judge(make_claim(kind="count", of="draws", **test), read_further(**everything))
    assert judged.verdict == "not tested yet"
    assert judged.reason == "Missing: a training as long as the paper's"
    assert judged.outcomes[0].ours == 2_000_000_000


@pytest.mark.parametrize(
    ("of", "values", "verdict"),
    [
        ("tasks", {"annotate.smoothing.strength": 0.1}, "same setting"),
        ("tasks", {"annotate.smoothing.strength": 0.2}, "other setting"),
        ("code", {"location_step_bp": LOCATION_STEP_BP, "bio_percent": 60}, "same setting"),
        ("code", {"location_step_bp": LOCATION_STEP_BP + 1}, "other setting"),
    ],
)
def test_settings_of_tasks_and_of_the_code_are_looked_at(everything, of, values, verdict):
    assert judge(make_claim(kind="setting", of=of, values=values), read_further(**everything)).verdict == verdict


def test_the_page_shows_large_numbers_in_full(everything):
    claim = count("trainings", base__cells=[345_000_000, 355_000_000])
    judged = judge(claim, read_further(**everything))
    page = render_claims([judged], Ledger(sections={"a": "A"}, claims=[claim]), scale="paper")
    assert "claimed: 345,000,000 to 355,000,000" in page
    assert "counted in the first training of a row and its corpus" in page
