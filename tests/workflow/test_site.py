"""The site of the finished tiny run: real pages of every kind, looked at in a browser where there is one."""

import json

import pandas as pd
import pytest

from tests.site.browser import needs_chromium, open_browser
from tests.site.links import broken_links
from tests.site.test_browser import check_pages
from tests.workflow.project import SETTINGS, Project

pytestmark = pytest.mark.timeout(2400)  # the report of the tiny scale, with the shorter trainings that it draws


@pytest.fixture(scope="module")
def reported(finished) -> Project:
    """The finished run with its report; Table 1 and all that leads to it stay as they were."""
    finished.run("site", "--config", *SETTINGS)
    return finished


def test_every_link_of_the_report_leads_somewhere(reported):
    site = reported / "reports/tiny/site"
    assert broken_links(site) == []
    assert 'href="tiny/site/index.html"' in (reported / "reports/index.html").read_text()
    assert {path.name for path in (site / "rows").iterdir()} >= {"base.html", "negative_control.html", "pca.html"}
    assert (site / "notebooks/base/seed_0/gymnasium.html").is_file()
    assert (site / "data/datasets/sim_lung.html").is_file()


@needs_chromium
def test_no_page_of_the_report_complains_or_overflows(reported):
    with open_browser() as tab:
        check_pages(tab, reported / "reports/tiny/site")


def test_costs_have_a_line_for_every_job_of_every_row(reported):
    costs = pd.read_csv(reported / "results/tiny/costs.csv", keep_default_na=False)
    assert (costs != "").all(axis=None)
    base = costs[costs["variant"] == "base"]
    tasks = {"denoise": 1, "embed": 1, "annotate": 1, "networks": 2}
    assert base["job"].value_counts().to_dict() == {
        "training": 1,
        "prediction": sum(tasks.values()),
        "evaluation": sum(tasks.values()),
    }
    assert costs.loc[costs["variant"] == "pca", "job"].tolist() == ["prediction", "evaluation"]
    assert (pd.to_numeric(base["seconds"]) > 0).all()
    assert (pd.to_numeric(base["peak_memory_bytes"]) > 5e7).all()
    assert set(costs["energy_source"]) == {"not available: no GPU was used"}
    drawn = pd.read_csv(reported / "results/tiny/figures/pareto.csv")
    assert set(drawn["variant"]) == set(costs["variant"])
    assert drawn.groupby("column")["front"].any().all()


def test_what_stands_beside_table_1_has_its_costs_too(reported):
    costs = pd.read_csv(reported / "results/tiny/study_costs.csv", keep_default_na=False)
    assert (costs != "").all(axis=None)
    studies = {path.parents[3].name for path in (reported / "results/tiny/studies").glob("*/*/seed_0/scores/*")}
    assert set(costs["study"]) == {"score_curves", "context_sweep", *studies}
    shorter = costs.query("study == 'score_curves' and job == 'training'")
    assert shorter["variant"].tolist() == ["base-epochs_1"]
    assert set(costs.query("study == 'open_problems'")["job"]) == {"prediction", "evaluation"}
    assert (costs.query("study == 'context_sweep'")["job"] == "sweep").all()
    assert not (reported / "results/tiny/costs.csv").read_text().count("epochs_")


def test_scores_along_training_are_those_of_shorter_trainings(reported):
    drawn = pd.read_csv(reported / "results/tiny/figures/score_curves.csv")
    assert set(map(tuple, drawn[["variant", "epochs", "steps"]].to_numpy())) == {("base", 1, 8), ("base", 2, 16)}
    compared = pd.read_csv(reported / "results/tiny/equal_budget.csv")
    cells = compared.query("budget == 'cells'").set_index("column")
    assert set(cells["points"]) == {"seed 0: epoch 2"}
    whole = drawn.query("epochs == 2").set_index("column")
    pd.testing.assert_series_equal(cells["score"], whole["score"], check_like=True)
    assert cells["controls_high"].notna().all()
    models = reported / "results/tiny/models"
    short, long = (pd.read_csv(models / name / "seed_0/history.csv") for name in ("base-epochs_1", "base"))
    losses = [name for name in short.columns if name != "seconds"]
    pd.testing.assert_frame_equal(short[losses], long.loc[: len(short) - 1, losses])
    assert json.loads((models / "base-epochs_1/seed_0/record.json").read_text())["epochs"] == 1
    assert "base-epochs_1" not in set(pd.read_csv(reported / "results/table1.csv")["variant"])
