# Scores and costs to Table 1.


rule table1:
    input:
        scores=score_files,
        models=model_folders,
    output:
        csv="results/{scale}/table1.csv",
        long="results/{scale}/table1_long.csv",
        comparisons="results/{scale}/table1_comparisons.csv",
        html=report(
            "results/{scale}/table1.html",
            caption="../workflow/report/table1.rst",
            category="Table 1",
        ),
        pdf="results/{scale}/table1.pdf",
    log:
        "results/{scale}/logs/table1.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        rows=table_rows(),
        columns=table_columns(),
    script:
        "../workflow/scripts/write_table1.py"


rule compare_with_paper:
    input:
        table="results/{scale}/table1.csv",
        paper="config/paper/table1.csv",
    output:
        csv="results/{scale}/table1_vs_paper.csv",
        html=report(
            "results/{scale}/table1_vs_paper.html",
            caption="../workflow/report/table1_vs_paper.rst",
            category="Table 1",
        ),
    log:
        "results/{scale}/logs/compare_with_paper.log",
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/compare_with_paper.py"


rule publish_table1:
    input:
        expand("results/{scale}/{{table}}", scale=config["scale"]),
    output:
        "results/{table}",
    log:
        "results/logs/publish_{table}.log",
    wildcard_constraints:
        table=r"table1(_long|_comparisons|_vs_paper)?\.(csv|html|pdf)|((study_)?costs|equal_budget)\.csv",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    shell:
        "cp {input} {output}.tmp 2> {log} && mv {output}.tmp {output} 2>> {log}"
