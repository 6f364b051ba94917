# Accuracy over the number of genes in context (figure 2d), for the rows named in config/sweeps.yaml: made when it is asked for,
# `snakemake results/figures/context_sweep.pdf`, and part of no other target.


rule sweep_context:
    input:
        model="results/{scale}/models/{variant}/seed_{seed}",
        cells="results/{scale}/datasets/{dataset}/cells.h5ad",
    output:
        table="results/{scale}/context_sweep/{variant}/seed_{seed}/{dataset}.tsv",
        cost="results/{scale}/context_sweep/{variant}/seed_{seed}/{dataset}.cost.json",
    log:
        "results/{scale}/logs/sweep_context/{variant}/seed_{seed}/{dataset}.log",
    wildcard_constraints:
        variant=MODEL_ROWS,
    conda:
        "../envs/scprint2.yaml"
    params:
        settings=json.dumps(CONTEXT_SWEEP["settings"]),
    shell:
        "scprint2 sweep-context --model {input.model} --cells {input.cells} --settings {params.settings:q}"
        " --out {output.table} > {log} 2>&1"


rule draw_context_sweep:
    input:
        tables=context_sweeps,
        notebook=CONTEXT_SWEEP["notebook"],
        runner="workflow/scripts/run_notebook.py",
    output:
        pdf="results/{scale}/figures/context_sweep.pdf",
        png=report(
            "results/{scale}/figures/context_sweep.png",
            caption="../workflow/report/context_sweep.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/context_sweep.csv",
        notebook="reports/{scale}/figures/context_sweep.ipynb",
        page=report(
            "reports/{scale}/figures/context_sweep.html",
            caption="../workflow/report/context_sweep.rst",
            category="Figures",
        ),
    log:
        text="results/{scale}/logs/draw_context_sweep.log",
        notebook="results/{scale}/logs/draw_context_sweep.ipynb",
    conda:
        "../envs/notebooks.yaml"
    params:
        figures="results/{scale}/figures",
        controls=json.dumps(CONTROLS),
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --files tables {input.tables} --parameters figures={params.figures}"
        " controls={params.controls:q} scale={wildcards.scale} > {log.text} 2>&1"
