# From wildcards to files and values: trainings, the gymnasium, Table 1.


# --- trainings ---


def baseline_corpus(wildcards):
    """The corpus that baselines learn from: that of the base variant."""
    return f"results/{wildcards.scale}/corpora/{BASELINE_CORPUS}.json"


def experiment_corpus(wildcards):
    """The corpus that a variant is trained on."""
    return f"results/{wildcards.scale}/corpora/{EXPERIMENTS[wildcards.variant]['data']['corpus']}.json"


def experiment_text(wildcards):
    """The resolved experiment by value: a comment in config/ changes nothing, a changed value changes just its rows."""
    return json.dumps(EXPERIMENTS[wildcards.variant])


def seen_cells(wildcards):
    """The test cells that a row's corpus holds; none where such corpora are refused."""
    if config["leakage"] == "refuse":
        return []
    experiment = EXPERIMENTS.get(wildcards.get("variant"), EXPERIMENTS["base"])
    return [
        f"results/{wildcards.scale}/corpora/{experiment['data']['corpus']}_seen.tsv.gz"
    ]


def model_folders(wildcards):
    """Every trained model."""
    return [
        f"results/{wildcards.scale}/models/{row}/seed_{seed}"
        for row in VARIANTS
        for seed in seeds(row)
    ]


# --- the gymnasium ---

PREDICTION_FILE = (
    "results/{scale}/predictions/{variant}/seed_{seed}/{task}/{dataset}.h5ad"
)
SCORE_FILE = "results/{scale}/scores/{variant}/seed_{seed}/{task}/{dataset}.tsv"
COST_FILE = "results/{scale}/scores/{variant}/seed_{seed}/{task}/{dataset}.cost.json"


def job_paths(pattern, jobs):
    """Fill task and dataset into a pattern, one path per job; other wildcards stay."""
    return [
        pattern.replace("{task}", job.task).replace("{dataset}", job.dataset)
        for job in jobs
    ]


def jobs_of(row):
    """The predictions of a row: all for a model, those of its task for a baseline."""
    return [job for job in JOBS if row in EXPERIMENTS or job.task == BASELINES[row][0]]


def baseline_groups():
    """The baselines of each task with the task, and apart its controls, whose scores stand behind the figures of all others."""
    groups = {}
    for name, (task, _) in BASELINES.items():
        kind = "controls" if name in CONTROLS else "baselines"
        groups.setdefault(f"{task}_{kind}", (task, []))[1].append(name)
    return groups


def row_paths(pattern, rows):
    """A path for each of some rows, and for every prediction of theirs; scale and seed stay."""
    return [
        path.replace("{variant}", row)
        for row in rows
        for path in dict.fromkeys(job_paths(pattern, jobs_of(row)))
    ]


def in_each_row(pattern, jobs):
    """The paths of a job's row, whose name `run_notebook.py` puts in the place of ROW."""
    return lambda wildcards: [
        path.format(scale=wildcards.scale, variant="ROW", seed=wildcards.seed)
        for path in job_paths(pattern, jobs)
    ]


def job_truths(job):
    """The known networks that a job is scored against, name to file."""
    names = known_networks(job.dataset) if job.task == "networks" else []
    return {name: truth_path(job.dataset, name) for name in names}


def job_files(jobs):
    """The processed datasets and the known networks that some jobs read."""
    cells = job_paths("results/{scale}/datasets/{dataset}/cells.h5ad", jobs)
    known = [path for job in jobs for path in job_truths(job).values()]
    return list(dict.fromkeys(cells + known))


def job_text(jobs):
    """What `scprint2 predict` is to do, every setting by value."""
    plan = []
    for job in jobs:
        cells, *_ = (path.format(scale=config["scale"]) for path in job_files([job]))
        plan.append(job.to_json() | {"cells": cells, "truths": job_truths(job)})
    return json.dumps(plan)


def find_jobs(wildcards):
    """The one job that a task and a dataset name."""
    return [
        job
        for job in JOBS
        if (job.task, job.dataset) == (wildcards.task, wildcards.dataset)
    ]


def find_job_files(wildcards):
    return [
        path.format(scale=wildcards.scale) for path in job_files(find_jobs(wildcards))
    ]


def find_job_text(wildcards):
    return job_text(find_jobs(wildcards))


def find_notebook(wildcards):
    return TASKS[wildcards.task]["notebook"]


# --- sweeps ---


def context_sweeps(wildcards):
    """A table for each row of the sweep that is run, each of its seeds, and each dataset."""
    rows = [row for row in CONTEXT_SWEEP["variants"] if row in VARIANTS]
    datasets = ROLES[CONTEXT_SWEEP["role"]]
    if not rows or not datasets:
        raise WorkflowError(
            f"nothing to draw: of the rows {CONTEXT_SWEEP['variants']} of config/sweeps.yaml these are run: {rows}; datasets "
            f"with the role {CONTEXT_SWEEP['role']!r}: {datasets}. Change `variants` there, or give a dataset the role."
        )
    return [
        f"results/{wildcards.scale}/context_sweep/{row}/seed_{seed}/{dataset}.tsv"
        for row in rows
        for seed in seeds(row)
        for dataset in datasets
    ]


# --- Table 1 ---


def with_seeds(rows):
    """Every row with each of its seeds."""
    return [(row, seed) for row in rows for seed in seeds(row)]


def fill_rows(pattern, scale, rows):
    """A path for every task and dataset of some (row, seed)."""
    return [
        path.format(scale=scale, variant=row, seed=seed)
        for row, seed in rows
        for path in job_paths(pattern, jobs_of(row))
    ]


ALL_ROWS = with_seeds([*VARIANTS, *BASELINES])


def control_scores(wildcards):
    """Every score file of every control."""
    return fill_rows(SCORE_FILE, wildcards.scale, with_seeds(CONTROLS))


def control_table(wildcards):
    """The scores behind the figures of a row, whose change draws them again; none for the controls themselves.

    Not `ancient`: where a job has such an input, and what makes it is to run, Snakemake does not see that the job's own
    parameters have changed.
    """
    if wildcards.get("variant") in CONTROLS:
        return []
    return f"results/{wildcards.scale}/controls.tsv"


def score_files(wildcards):
    """Every score file of every row and seed."""
    return fill_rows(SCORE_FILE, wildcards.scale, ALL_ROWS)


def network_score_files(wildcards):
    """The scores of every row and seed in gene networks."""
    return [path for path in score_files(wildcards) if "/networks/" in path]


def followed_trainings():
    """Row and seed of the trainings whose scores are drawn along their training, whole ones and shorter ones."""
    rows = {budget.variant for budget in BUDGETS.values()}
    numbers = range(config["curves"]["seeds"])
    return with_seeds(row for row in VARIANTS if row in rows) + [
        (row, seed) for row in BUDGETS for seed in numbers
    ]


def shorter_trainings():
    """Row and seed of those of them that are no part of Table 1."""
    return [(row, seed) for row, seed in followed_trainings() if row in BUDGETS]


def shorter_models(wildcards):
    """The models of these."""
    return [
        f"results/{wildcards.scale}/models/{row}/seed_{seed}"
        for row, seed in shorter_trainings()
    ]


def shorter_predictions(wildcards):
    """Their predictions."""
    return fill_rows(PREDICTION_FILE, wildcards.scale, shorter_trainings())


def shorter_evaluations(wildcards):
    """What their evaluations have cost."""
    return fill_rows(COST_FILE, wildcards.scale, shorter_trainings())


def followed_scores(wildcards):
    """The score files of these trainings."""
    return fill_rows(SCORE_FILE, wildcards.scale, followed_trainings())


def followed_models(wildcards):
    """The models of these trainings."""
    return [
        f"results/{wildcards.scale}/models/{row}/seed_{seed}"
        for row, seed in followed_trainings()
    ]


def evaluation_costs(wildcards):
    """What each of them has cost."""
    return fill_rows(COST_FILE, wildcards.scale, ALL_ROWS)


def prediction_files(wildcards):
    """Every prediction of every row and seed."""
    return fill_rows(PREDICTION_FILE, wildcards.scale, ALL_ROWS)


def row_names():
    """Variant, section and name of the rows of Table 1, in their order."""
    keys = ("variant", "section", "name")
    return [{key: row[key] for key in keys} for row in table_rows()]


def table_rows():
    """The rows of Table 1: models, then baselines, with all that the table says about them."""
    known = overlay.list_variants(CONFIG)
    models = [
        {
            "variant": name,
            "section": known[name].section,
            "name": known[name].table_name,
            "reference": known[name].reference,
            "seeds": len(seeds(name)),
            "experiment": EXPERIMENTS[name],
            "control": CONTROLS.get(name, ""),
        }
        for name in VARIANTS
    ]
    baselines = [
        {
            "variant": name,
            "section": "baseline",
            "name": title,
            "reference": "base",
            "seeds": len(seeds(name)),
            "tasks": [task],
            "control": CONTROLS.get(name, ""),
        }
        for name, (task, title) in BASELINES.items()
    ]
    return models + baselines


def table_columns():
    """The columns of Table 1, with the datasets behind their roles and the cards of their metrics."""
    columns = tasks.read_tasks(CONFIG, scale=config["scale"])["columns"]
    return {
        name: {
            "task": column["task"],
            "datasets": ROLES[column["role"]],
            "metric": column["metric"],
            "card": CARDS[column["task"]][column["metric"]],
        }
        for name, column in columns.items()
    }


def partial_corpora(wildcards):
    """Variants whose corpus is made from a listing that is not complete, with what it lacks."""
    corpora = {name: EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS}
    return {
        name: PARTIAL[corpus] for name, corpus in corpora.items() if corpus in PARTIAL
    }
