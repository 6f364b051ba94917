# Studies (config/studies.yaml): a task asked again with other settings or on other datasets, for the chosen rows and on demand.
# No band of controls lies behind their figures: controls are run with the settings of Table 1 only.
#   snakemake --profile profiles/local results/mini/studies/embedding_kinds.tsv --config variants=base,xpressor


rule check_study_leakage:
    input:
        members="results/{scale}/corpora/{corpus}/members.json",
        genes=corpus_gene_tables,
        tests=study_cells,
    output:
        ledger="results/{scale}/studies/{study}/{corpus}_leakage.tsv",
        seen="results/{scale}/studies/{study}/{corpus}_seen.tsv.gz",
    log:
        "results/{scale}/logs/check_study_leakage/{study}/{corpus}.log",
    wildcard_constraints:
        study="|".join(STUDIES) or NEVER,
        corpus="|".join(CORPORA),
    conda:
        "../envs/scprint2.yaml"
    params:
        organisms=corpus_organisms,
        sources=study_sources,
    script:
        "../workflow/scripts/check_leakage.py"


rule run_study:
    input:
        source=study_source,
        files=study_files,
        seen=study_seen,
        notebooks=study_notebooks,
        runner="workflow/scripts/run_notebook.py",
    output:
        predictions=directory(
            "results/{scale}/studies/{study}/{variant}/seed_{seed}/predictions"
        ),
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
    shell:
        "python {input.runner} {input.notebooks} --log {log.notebook} --out {output.notebook}"
        " --parameters {params.method} jobs={params.jobs:q} out={output.predictions} predictions={output.predictions}"
        " scores={output.scores} seen={input.seen} controls= scale={wildcards.scale} variant={wildcards.variant}"
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
