"""A site of all rows of Table 1, made from drawn numbers: as wide and long as the real one."""

from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest

from scprint2.accounting import JobCost
from scprint2.config import overlay, tasks
from scprint2.costs import EVALUATION, PREDICTION, TRAINING, collect_costs, collect_study_costs, write_costs
from scprint2.equal_budget import compare_at_equal_budget, write_equal_budget
from scprint2.files import write_json, write_text
from scprint2.notebook_page import render_notebook
from scprint2.pages import Page
from scprint2.plots.controls import Band
from scprint2.plots.files import write_figure
from scprint2.plots.score_curves import DRAWN
from scprint2.site.beyond import StudyScores
from scprint2.site.build import Sources, build_site
from scprint2.table import COST_KEYS, SCORE_KEYS, build_table1
from scprint2.tasks.scores import ScoreRow, write_scores
from tests.helpers import CONFIG, ROOT

FAILED = "vae"  # a row one of whose cells could not be computed
DATASET = {
    "name": "sim_lung", "organism": "NCBITaxon:9606", "url": "https://a.place/of/data.h5ad", "file": "data.h5ad",
    "sha256": "ab" * 32, "md5": "", "bytes": "123456", "licence": "CC-BY-4.0", "citation": "Somebody et al. <2020>",
    "truth": "", "used_as": "test: embed",
}  # fmt: skip


def make_rows() -> list[dict]:
    known = overlay.list_variants(CONFIG)
    models = [
        {
            "variant": name,
            "section": row.section,
            "name": row.table_name,
            "reference": row.reference,
            "experiment": {"is": name},
        }
        for name, row in known.items()
    ]
    return [
        *models,
        {
            "variant": "pca",
            "section": "baseline",
            "name": "PCA of log-normalized counts",
            "reference": "base",
            "tasks": ["embed"],
        },
    ]


def make_columns() -> dict[str, dict]:
    columns = tasks.read_tasks(CONFIG, scale="mini")["columns"]
    return {
        name: {"task": one["task"], "metric": one["metric"], "datasets": [f"sim_{one['role']}"]}
        for name, one in columns.items()
    }


def make_scores(rows: list[dict], columns: dict[str, dict]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    lines = []
    for row in rows:
        for seed in range(3 if row["variant"] == "base" else 1):
            for column in columns.values():
                if column["task"] in row.get("tasks", [column["task"]]):
                    place = {
                        "variant": row["variant"],
                        "seed": seed,
                        "task": column["task"],
                        "metric": column["metric"],
                    }
                    lines.append({**place, "dataset": column["datasets"][0], "value": rng.normal(20, 30)})
    filled = {
        "scale": "mini",
        "status": "ok",
        "reason": "",
        "seconds": 0.25,
        "version": "scprint2 0.1.0",
        "versions": "numpy 2",
    }
    scores = pd.DataFrame([filled | line for line in lines])[SCORE_KEYS]
    broken = (scores["variant"] == FAILED) & (scores["task"] == "annotate")
    scores.loc[broken, ["value", "status", "reason"]] = [np.nan, "failed", "TimeoutError: not done after 9 s"]
    return scores


def make_job(variant: str, job: str) -> dict:
    cost = JobCost("cpu A", 2.5, 2.0, 0.0, None, "none", 2**30, None, 100)
    return {"variant": variant, "seed": 0, "job": job, "task": "embed", "dataset": "sim_lung", **cost.to_json()}


def make_costs(rows: list[dict]) -> pd.DataFrame:
    return collect_costs(
        [make_job(row["variant"], job) for row in rows for job in (TRAINING, PREDICTION, EVALUATION)], rows
    )


def make_study_costs() -> pd.DataFrame:
    shorter = [make_job("base-epochs_2", job) for job in (TRAINING, PREDICTION)]
    return collect_study_costs([{"study": "score_curves", **job} for job in shorter])


def make_equal_budget() -> pd.DataFrame:
    """Base at two lengths, in one column."""
    points = [("denoise", "base", 0, 2, 20, 160, 1.25, 5.0), ("denoise", "base", 0, 4, 40, 320, 2.5, 7.0)]
    drawn = pd.DataFrame(points, columns=pd.Index(DRAWN))
    return compare_at_equal_budget(drawn, ["denoise"], bands={"denoise": Band(-3.0, 1.0, ("random",))})


def write_notebook(path: Path) -> None:
    """An executed notebook with a heading, code, a long line, a wide table and a picture."""
    wide = pd.DataFrame(np.arange(60).reshape(2, 30), columns=[f"a_long_column_name_{n}" for n in range(30)])
    output = nbformat.v4.new_output("execute_result", {"text/html": wide.to_html()}, execution_count=1)
    cells = [
        nbformat.v4.new_markdown_cell("# Embedding\n\nA line with $x^2$ in it."),
        nbformat.v4.new_code_cell(f"value = '{'long ' * 80}'", outputs=[output], execution_count=1),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def make_study(folder: Path) -> StudyScores:
    """A row's scores of one dataset: two kinds of embedding, a donor's, another metric, and one that failed."""
    scores = folder / "studies/embedding_kinds/base/seed_0/scores"
    place = {"scale": "mini", "variant": "base", "seed": 0, "task": "embed", "dataset": "sim_lung"}
    values = {
        "scib_total": 0.6,
        "scib_total:mean": 0.7,
        "scib_total:donor=a": 0.5,
        "ilisi": 0.1,
        "scib_total:free": None,
    }
    rows = [
        ScoreRow(
            **place, metric=metric, value=value, status="failed" if value is None else "ok",
            reason="too few cells" if value is None else "", seconds=0.1, version="", versions="",
        )
        for metric, value in values.items()
    ]  # fmt: skip
    write_scores(scores / "embed" / "sim_lung.tsv", rows)
    return StudyScores(
        "scIB of each embedding", ("scib_total",), (scores,), ("studies/embedding_kinds/base/seed_0.html",)
    )


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Sources:
    folder = tmp_path_factory.mktemp("made")
    rows, columns = make_rows(), make_columns()
    costs = pd.DataFrame(
        [
            (row["variant"], seed, 1.5 + seed, "cpu A")
            for row in rows
            for seed in range(3 if row["variant"] == "base" else 1)
            if "tasks" not in row
        ],
        columns=COST_KEYS,
    )
    table = build_table1(make_scores(rows, columns), rows, columns=columns, costs=costs)
    write_costs(make_costs(rows), folder / "costs.csv")
    write_costs(make_study_costs(), folder / "study_costs.csv")
    write_equal_budget(make_equal_budget(), folder / "equal_budget.csv")
    for name in ("heat_map", "learning_curves", "score_curves", "pareto", "networks"):
        figure, axes = plt.subplots(figsize=(8, 4))
        axes.plot([0, 1])
        drawn = {"variant": ["vae"], "name": ["VAE"], "reference": ["base"], "column": ["denoise"], "seeds": [1]}
        drawn |= {"difference": [-3.5], "effect": [-4.0], "state": ["worse"]}
        write_figure(figure, pd.DataFrame(drawn), folder, name)
        plt.close(figure)
    places = ["base/seed_0/gymnasium", "base/seed_1/gymnasium", "pca/seed_0/embed", "figures/heat_map"]
    places.append("studies/embedding_kinds/base/seed_0")
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        write_notebook(folder / f"{place}.ipynb")
        write_text(folder / f"{place}.html", render_notebook(folder / f"{place}.ipynb"))
    for place in ("datasets/sim_lung", "corpora/curated"):
        Page("A report of data").write(folder / f"{place}.html")
    for name in ("claims", "paper", "metrics"):
        Page(name).write(folder / f"{name}.html")
    ledger = ["test_set\ttest_cells\tcompared_cells\tkind\tdataset\tshared_cells\tcorpus_cells\texamples"]
    ledger += ["sim_lung\t100\t90\tcell\tother\t7\t500\tcell_1", "sim_kidney\t100\t90\tnone\t\t0\t0\t"]
    (folder / "leakage.tsv").write_text("\n".join(ledger) + "\n")
    device = {"device": "cpu A", "torch_version": "2.13.0", "attention_kernel": "torch"}
    write_json(folder / "models/base/seed_0/cost.json", device)
    return Sources(
        table=table,
        changes={"vae": {"model.compressor.kind": ["none", "vae"]}},
        costs=folder / "costs.csv",
        study_costs=folder / "study_costs.csv",
        equal_budget=folder / "equal_budget.csv",
        figures=folder,
        further=["networks"],
        studies=[make_study(folder)],
        reports=folder,
        notebooks=[f"{place}.html" for place in places],
        data_pages=["datasets/sim_lung.html", "corpora/curated.html"],
        comparison=folder / "paper.html",
        claims=folder / "claims.html",
        metrics=folder / "metrics.html",
        tables=[folder / "costs.csv"],
        datasets=[DATASET],
        corpora={"curated": ["sim_blood"]},
        leakage={"curated": folder / "leakage.tsv"},
        lock=ROOT / "requirements/lock.txt",
        models=[folder / "models/base/seed_0"],
    )


@pytest.fixture(scope="session")
def site(sources, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    build_site(sources, folder)
    return folder
