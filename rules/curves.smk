# Scores along training, and at an equal budget of it: some rows are trained for fewer epochs too, and scored. On demand, and for the
# report.


rule draw_score_curves:
    input:
        models=followed_models,
        scores=followed_scores,
        controls="results/{scale}/controls.tsv",
        notebook="workflow/notebooks/score_curves.ipynb",
        runner="workflow/scripts/run_notebook.py",
    output:
        pdf="results/{scale}/figures/score_curves.pdf",
        png=report(
            "results/{scale}/figures/score_curves.png",
            caption="../workflow/report/score_curves.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/score_curves.csv",
        notebook="reports/{scale}/figures/score_curves.ipynb",
        page=report(
            "reports/{scale}/figures/score_curves.html",
            caption="../workflow/report/score_curves.rst",
            category="Figures",
        ),
    log:
        text="results/{scale}/logs/draw_score_curves.log",
        notebook="results/{scale}/logs/draw_score_curves.ipynb",
    conda:
        "../envs/notebooks.yaml"
    params:
        columns=json.dumps(table_columns()),
        figures="results/{scale}/figures",
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --files models {input.models} --files scores {input.scores}"
        " --parameters columns={params.columns:q} controls={input.controls} figures={params.figures}"
        " scale={wildcards.scale} > {log.text} 2>&1"


rule compare_at_equal_budget:
    input:
        models=followed_models,
        scores=followed_scores,
        controls="results/{scale}/controls.tsv",
    output:
        "results/{scale}/equal_budget.csv",
    log:
        "results/{scale}/logs/compare_at_equal_budget.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        columns=table_columns(),
    script:
        "../workflow/scripts/compare_at_equal_budget.py"
