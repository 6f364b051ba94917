# From wildcards to the files and values of studies (config/studies.yaml).
from scprint2.config import studies

STUDIES = studies.read_studies(CONFIG, scale=config["scale"], tasks=TASKS)
STUDY_JOBS = {
    name: studies.list_study_jobs(study, tasks=TASKS, roles=ROLES, words=WORDS)
    for name, study in STUDIES.items()
}


def study_jobs(wildcards):
    """The predictions of a study; at least one is needed."""
    jobs = STUDY_JOBS[wildcards.study]
    if not jobs:
        raise WorkflowError(
            f"study {wildcards.study!r} has no datasets at scale {wildcards.scale!r}: none plays {STUDIES[wildcards.study].roles} "
            f"in {SCALE['registry']}"
        )
    return jobs


def study_files(wildcards):
    """The processed datasets of a study."""
    return [
        path.format(scale=wildcards.scale) for path in job_files(study_jobs(wildcards))
    ]


def study_cells(wildcards):
    """The cells of these datasets."""
    return [path for path in study_files(wildcards) if path.endswith("cells.h5ad")]


def study_sources(wildcards):
    """Where the datasets of a corpus and of a study come from, to tell what they share."""
    return dataset_sources(
        [*CORPORA[wildcards.corpus], *(job.dataset for job in study_jobs(wildcards))]
    )


def study_seen(wildcards):
    """Which cells of the study are in the corpus that a row learns from; their scores are told apart from the others'."""
    corpus = EXPERIMENTS.get(wildcards.variant, EXPERIMENTS["base"])["data"]["corpus"]
    return f"results/{wildcards.scale}/studies/{wildcards.study}/{corpus}_seen.tsv.gz"


def study_text(wildcards):
    """What `scprint2 predict` is to do, every setting by value."""
    return job_text(study_jobs(wildcards))


def study_notebooks(wildcards):
    """Predictions, then the notebook of the task."""
    return [
        "workflow/notebooks/predict.ipynb",
        TASKS[STUDIES[wildcards.study].task]["notebook"],
    ]


def study_source(wildcards):
    """A trained model, or the corpus that a baseline learns from."""
    if wildcards.variant in BASELINES:
        return baseline_corpus(wildcards)
    return f"results/{wildcards.scale}/models/{wildcards.variant}/seed_{wildcards.seed}"


def study_method(wildcards, input):
    """The parameters of the notebook that name the method."""
    if wildcards.variant in BASELINES:
        return f"baseline={wildcards.variant} corpus={input.source}"
    return f"model={input.source}"


def study_baselines(study):
    """The baselines and controls that are run beside a study's rows."""
    if study.baselines == "none":
        return []
    return [name for name, (task, _) in BASELINES.items() if task == study.task]


def reported_rows(study):
    """The rows of a study in the report: those it names, the untrained control, and its baselines; none without the former."""
    rows = [row for row in study.report if row in VARIANTS]
    untrained = [row for row in VARIANTS if row in CONTROLS]
    return [*rows, *untrained, *study_baselines(study)] if rows else []


def study_scores(wildcards):
    """The scores of every chosen row and seed."""
    study = STUDIES[wildcards.study]
    return [
        f"results/{wildcards.scale}/studies/{wildcards.study}/{row}/seed_{seed}/scores"
        for row in [*VARIANTS, *study_baselines(study)]
        for seed in seeds(row)
    ]
