# Studies (config/studies.yaml): a task asked again with other settings or on other datasets, for the chosen rows and on demand.
#   snakemake --profile profiles/local results/mini/studies/embedding_kinds.tsv --config variants=base,xpressor
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


def study_scores(wildcards):
    """The scores of every chosen row and seed."""
    study = STUDIES[wildcards.study]
    beside = [
        name
        for name, (task, _) in BASELINES.items()
        if study.baselines == "all" and task == study.task
    ]
    return [
        f"results/{wildcards.scale}/studies/{wildcards.study}/{row}/seed_{seed}/scores"
        for row in [*VARIANTS, *beside]
        for seed in seeds(row)
    ]


rule run_study:
    input:
        source=study_source,
        files=study_files,
        seen=seen_cells,
        notebooks=study_notebooks,
        runner="workflow/scripts/run_notebook.py",
    output:
        scores=directory("results/{scale}/studies/{study}/{variant}/seed_{seed}/scores"),
        notebook="reports/{scale}/studies/{study}/{variant}/seed_{seed}.ipynb",
        page=report(
            "reports/{scale}/studies/{study}/{variant}/seed_{seed}.html",
            caption="../workflow/report/studies.rst",
            category="Studies",
            labels={"study": "{study}", "row": "{variant}", "seed": "{seed}"},
        ),
    log:
        text="results/{scale}/logs/run_study/{study}/{variant}/seed_{seed}.log",
        notebook="results/{scale}/logs/run_study/{study}/{variant}/seed_{seed}.ipynb",
    wildcard_constraints:
        study="|".join(STUDIES),
    conda:
        "../envs/notebooks.yaml"
    params:
        jobs=study_text,
        method=study_method,
        predictions="results/{scale}/studies/{study}/{variant}/seed_{seed}/predictions",
    shell:
        "python {input.runner} {input.notebooks} --log {log.notebook} --out {output.notebook}"
        " --parameters {params.method} jobs={params.jobs:q} out={params.predictions} predictions={params.predictions}"
        " scores={output.scores} seen={input.seen} scale={wildcards.scale} variant={wildcards.variant}"
        " seed={wildcards.seed} > {log.text} 2>&1"


rule collect_study:
    input:
        study_scores,
    output:
        "results/{scale}/studies/{study}.tsv",
    log:
        "results/{scale}/logs/collect_study/{study}.log",
    wildcard_constraints:
        study="|".join(STUDIES),
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/collect_study.py"
