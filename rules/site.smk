# Everything that a run has made, as a website in one folder: `snakemake site`, or `make report`.


rule build_site:
    input:
        scores=score_files,
        models=model_folders,
        costs="results/{scale}/costs.csv",
        study_costs="results/{scale}/study_costs.csv",
        equal_budget="results/{scale}/equal_budget.csv",
        figures=site_figures,
        studies=site_study_scores,
        notebooks=site_notebooks,
        data_pages=data_report_pages,
        comparison="results/{scale}/table1_vs_paper.html",
        claims="results/{scale}/claims_all.html",
        leakage=site_leakage,
        tables=expand(
            "results/{{scale}}/{table}.csv",
            table=[
                "table1",
                "table1_long",
                "table1_comparisons",
                "table1_vs_paper",
                "claims_all",
                "costs",
                "study_costs",
                "equal_budget",
            ],
        ),
        metrics="reports/metrics.html",
        lock="requirements/lock.txt",
    output:
        directory("reports/{scale}/site"),
    log:
        "results/{scale}/logs/build_site.log",
    conda:
        "../envs/notebooks.yaml"
    params:
        rows=table_rows(),
        columns=table_columns(),
        changes=site_changes(),
        further=further_figures(),
        studies=site_studies,
        datasets=site_datasets(),
        corpora=site_corpora(),
        reports="reports/{scale}",
    script:
        "../workflow/scripts/build_site.py"


rule publish_site:
    input:
        expand("reports/{scale}/site", scale=config["scale"]),
    output:
        "reports/index.html",
    log:
        "results/logs/publish_site.log",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    params:
        page=expand("{scale}/site/index.html", scale=config["scale"]),
    script:
        "../workflow/scripts/publish_site.py"
