# Figures over all rows, each an executed notebook. `snakemake results/figures/heat_map.pdf` makes one again.


rule draw_heat_map:
    input:
        comparisons="results/{scale}/table1_comparisons.csv",
        notebook="workflow/notebooks/heat_map.ipynb",
        runner="workflow/scripts/run_notebook.py",
    output:
        pdf="results/{scale}/figures/heat_map.pdf",
        png=report(
            "results/{scale}/figures/heat_map.png",
            caption="../workflow/report/heat_map.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/heat_map.csv",
        notebook="reports/{scale}/figures/heat_map.ipynb",
        page=report(
            "reports/{scale}/figures/heat_map.html",
            caption="../workflow/report/heat_map.rst",
            category="Figures",
        ),
    log:
        text="results/{scale}/logs/draw_heat_map.log",
        notebook="results/{scale}/logs/draw_heat_map.ipynb",
    conda:
        "../envs/notebooks.yaml"
    params:
        figures="results/{scale}/figures",
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --parameters comparisons={input.comparisons} figures={params.figures} scale={wildcards.scale}"
        " > {log.text} 2>&1"


rule draw_learning_curves:
    input:
        models=model_folders,
        table="results/{scale}/table1.csv",
        notebook="workflow/notebooks/learning_curves.ipynb",
        runner="workflow/scripts/run_notebook.py",
    output:
        pdf="results/{scale}/figures/learning_curves.pdf",
        png=report(
            "results/{scale}/figures/learning_curves.png",
            caption="../workflow/report/learning_curves.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/learning_curves.csv",
        notebook="reports/{scale}/figures/learning_curves.ipynb",
        page=report(
            "reports/{scale}/figures/learning_curves.html",
            caption="../workflow/report/learning_curves.rst",
            category="Figures",
        ),
    log:
        text="results/{scale}/logs/draw_learning_curves.log",
        notebook="results/{scale}/logs/draw_learning_curves.ipynb",
    conda:
        "../envs/notebooks.yaml"
    params:
        figures="results/{scale}/figures",
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --files models {input.models}"
        " --parameters table={input.table} figures={params.figures} scale={wildcards.scale} > {log.text} 2>&1"


rule publish_figure:
    input:
        expand("results/{scale}/figures/{{figure}}", scale=config["scale"]),
    output:
        "results/figures/{figure}",
    log:
        "results/logs/publish_{figure}.log",
    wildcard_constraints:
        figure=r"(heat_map|learning_curves|pareto|score_curves|context_sweep|truth_overlap|networks)\.(pdf|png|csv)",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    shell:
        "cp {input} {output}.tmp 2> {log} && mv {output}.tmp {output} 2>> {log}"
