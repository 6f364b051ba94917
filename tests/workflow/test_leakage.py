"""A corpus that holds a test set: refused with a ledger left to read, or built and scored apart where the user insists."""

import pandas as pd

from tests.workflow.project import SETTINGS, add_tiny_scale

CORPUS = "results/tiny/corpora/curated"
SCORES = "results/tiny/scores/base/seed_0/annotate/sim_lung.tsv"


def test_a_leak_is_refused_named_and_scored_apart_where_the_user_insists(project):
    add_tiny_scale(project)
    project.edit_yaml("config/scales/tiny.yaml", {"corpora": {"curated": ["sim_blood", "sim_lung"]}})
    printed = project.run(f"{CORPUS}.json", "--config", *SETTINGS, succeeds=False)
    assert "'sim_lung', dataset: " in printed
    ledger = pd.read_csv(project / f"{CORPUS}_leakage.tsv", sep="\t", keep_default_na=False)
    leaks = ledger[ledger["test_set"] == "sim_lung"]
    assert set(leaks["kind"]) >= {"dataset", "cell"}
    assert set(leaks["dataset"]) == {"sim_lung"}
    assert set(ledger[ledger["test_set"] != "sim_lung"]["kind"]) == {"none"}
    project.run(SCORES, "--config", *SETTINGS, "leakage=report")
    scores = pd.read_csv(project / SCORES, sep="\t", keep_default_na=False).set_index("metric")
    assert scores.loc["accuracy:seen", "value"] == scores.loc["accuracy", "value"]
    assert scores.loc["accuracy:unseen", "status"] == "failed"  # no cell of the set is unseen
