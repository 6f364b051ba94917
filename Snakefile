from snakemake.utils import min_version, validate

min_version("9.27")


configfile: "config/config.yaml"


validate(config, "config/schemas/config.schema.json")


report: "workflow/report/workflow.rst"


# A limit on gpu= counts inside each submission (a group of jobs), not over the whole cluster.
resource_scopes:
    gpu="local",


include: "rules/common.smk"
include: "rules/inputs_data.smk"
include: "rules/inputs_rows.smk"
include: "rules/inputs_studies.smk"
include: "rules/inputs_claims.smk"
include: "rules/inputs_site.smk"
include: "rules/data.smk"
include: "rules/references.smk"
include: "rules/corpus.smk"
include: "rules/pretrain.smk"
include: "rules/gymnasium.smk"
include: "rules/studies.smk"
include: "rules/statistics.smk"
include: "rules/table.smk"
include: "rules/claims.smk"
include: "rules/figures.smk"
include: "rules/context_sweep.smk"
include: "rules/networks.smk"
include: "rules/reports.smk"
include: "rules/costs.smk"
include: "rules/curves.smk"
include: "rules/site.smk"


onstart:
    refuse_incomplete_corpora()


rule all:
    default_target: True
    input:
        "results/table1.csv",
        "results/table1_long.csv",
        "results/table1_comparisons.csv",
        "results/table1.html",
        "results/table1.pdf",
        "results/table1_vs_paper.csv",
        "results/table1_vs_paper.html",
        "results/claims.csv",
        "results/claims.html",
        "reports/metrics.html",
        "results/costs.csv",
        expand(
            "results/figures/{figure}.{form}",
            figure=["heat_map", "learning_curves", "pareto"],
            form=["pdf", "png", "csv"],
        ),


rule site:
    input:
        "reports/index.html",


rule data_report:
    input:
        data_report_pages,


rule network_report:
    input:
        expand(
            "results/figures/{figure}.{form}",
            figure=["truth_overlap", "networks"],
            form=["pdf", "png", "csv"],
        ),
