"""What is run for the claims: nothing more for Table 1, and for all claims what they read beside it."""

import json
from collections import Counter

import pandas as pd
import pytest

from tests.workflow.project import SETTINGS, Project, add_tiny_scale

MORE = ("run_study", "sweep_context", "draw_context_sweep", "compare_truths", "count_draws")


def further(jobs: Counter[str]) -> set[str]:
    return {rule for rule in MORE if jobs[rule]}


@pytest.fixture
def claiming(project) -> Project:
    """The tiny scale, with claims about what it has: its study, its sweep, its known networks and its dataset."""
    add_tiny_scale(project)
    judged = "direction: above, agree: all, also_at: [mini]"
    tests = {
        "study": f"{{kind: difference, rows: [base], against: [pca], measures: [embedding_kinds/scib_total], {judged}}}",
        "trend": f"{{kind: trend, row: base, labels: [cell_type], group: all, lengths: [200, 8000], {judged}}}",
        "networks": "{kind: count, of: truth_overlap, values: {sim_k562.sim_kidney.share: [0, 1]}}",
        "draws": "{kind: count, of: draws, values: {base.distinct_cells: [1, 2]}}",
        "published": "{kind: count, of: truths_as_published, values: {cellmap.genes: [7543, 7543]}}",
        "dataset": "{kind: count, of: datasets, values: {sim_lung.expressed_genes: [0, 100]}}",
    }
    lines = [f"  - {{id: {name}, section: a, place: here, quote: so, test: {test}}}" for name, test in tests.items()]
    (project / "config/paper/claims.yaml").write_text("\n".join(["sections: {a: A}", "claims:", *lines, ""]))
    return project


def test_claims_of_table_1_run_nothing_more_and_all_claims_run_what_they_read(claiming):
    assert further(claiming.plan("--config", *SETTINGS)) == set()
    assert further(claiming.plan("results/claims.html", "--config", *SETTINGS)) == set()
    jobs = claiming.plan("results/claims_all.html", "--config", *SETTINGS)
    assert further(jobs) == set(MORE)
    assert (jobs["run_study"], jobs["judge_claims"], jobs["publish_claims"]) == (2, 1, 1)


def test_the_report_holds_all_claims(claiming):
    jobs = claiming.plan("site", "--config", *SETTINGS)
    assert jobs["judge_claims"] == 1
    assert further(jobs) == set(MORE)


def test_nothing_is_run_for_claims_about_rows_that_are_not(claiming):
    claiming.edit("config/paper/claims.yaml", "rows: [base]", "rows: [vae]")
    jobs = claiming.plan("results/claims_all.html", "--config", *SETTINGS)
    assert further(jobs) == set(MORE) - {"run_study"}


@pytest.mark.timeout(1200)
def test_all_claims_are_judged_from_what_was_run(finished):
    """The shipped claims are about networks and rows that the tiny scale lacks; the sweep and the trainings are there."""
    finished.run("results/claims_all.csv", "results/claims_all.html", "--config", *SETTINGS)
    claims = pd.read_csv(finished / "results/claims_all.csv", keep_default_na=False).set_index("claim")
    assert not set(claims["verdict"]) & {"reproduced", "contradicted", "undecided", "not run"}
    assert float(claims.loc["base_parameters", "ours"]) > 0
    assert claims.loc["smart_seq_depth", "here"] == "not run"
    assert "v2_small" in claims.loc["context_sweep", "reason"]


def test_what_a_training_has_seen_is_counted_from_its_record(finished):
    finished.run("results/tiny/draws/base/seed_0.json", "--config", *SETTINGS)
    found = json.loads((finished / "results/tiny/draws/base/seed_0.json").read_text())
    assert (found["steps"], found["cells"], found["profiles_per_step"]) == (16, 16 * 8, 8)
    cost = json.loads((finished / "results/tiny/models/base/seed_0/cost.json").read_text())
    assert found["cells"] == cost["cells"]
    assert 0 < found["distinct_cells"] <= found["cells"]
