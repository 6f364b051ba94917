# What scores are worth: the controls behind the figures, and the cards of the metrics.


rule gather_controls:
    input:
        control_scores,
    output:
        "results/{scale}/controls.tsv",
    log:
        "results/{scale}/logs/gather_controls.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        controls=CONTROLS,
    script:
        "../workflow/scripts/gather_controls.py"


rule report_metrics:
    input:
        drift="config/drift.tsv",
    output:
        report(
            "reports/metrics.html",
            caption="../workflow/report/metrics.rst",
            category="Table 1",
        ),
    log:
        "results/logs/report_metrics.log",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    params:
        cards=CARDS,
    script:
        "../workflow/scripts/report_metrics.py"
