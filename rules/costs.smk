# What rows cost, their scores against it, and what all that the report shows beside them costs.


rule account_costs:
    input:
        models=model_folders,
        predictions=prediction_files,
        evaluations=evaluation_costs,
    output:
        "results/{scale}/costs.csv",
    log:
        "results/{scale}/logs/account_costs.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        rows=row_names(),
    script:
        "../workflow/scripts/account_costs.py"


rule account_study_costs:
    input:
        models=shorter_models,
        predictions=shorter_predictions,
        evaluations=shorter_evaluations,
        sweeps=sweep_costs,
        studies=study_folders,
    output:
        "results/{scale}/study_costs.csv",
    log:
        "results/{scale}/logs/account_study_costs.log",
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/account_study_costs.py"


rule draw_pareto:
    input:
        costs="results/{scale}/costs.csv",
        table="results/{scale}/table1.csv",
        long="results/{scale}/table1_long.csv",
        notebook="workflow/notebooks/pareto.ipynb",
        runner="workflow/scripts/run_notebook.py",
    output:
        pdf="results/{scale}/figures/pareto.pdf",
        png=report(
            "results/{scale}/figures/pareto.png",
            caption="../workflow/report/pareto.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/pareto.csv",
        notebook="reports/{scale}/figures/pareto.ipynb",
        page=report(
            "reports/{scale}/figures/pareto.html",
            caption="../workflow/report/pareto.rst",
            category="Figures",
        ),
    log:
        text="results/{scale}/logs/draw_pareto.log",
        notebook="results/{scale}/logs/draw_pareto.ipynb",
    conda:
        "../envs/notebooks.yaml"
    params:
        figures="results/{scale}/figures",
        controls=json.dumps(CONTROLS),
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --parameters costs={input.costs} table={input.table} long={input.long} figures={params.figures}"
        " controls={params.controls:q} scale={wildcards.scale} > {log.text} 2>&1"
