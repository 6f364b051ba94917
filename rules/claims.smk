# The paper's claims against Table 1.


rule judge_claims:
    input:
        table="results/{scale}/table1_long.csv",
        ledger="config/paper/claims.yaml",
        paper="config/paper/table1.csv",
    output:
        csv="results/{scale}/claims.csv",
        html=report(
            "results/{scale}/claims.html",
            caption="../workflow/report/claims.rst",
            category="Claims",
        ),
    log:
        "results/{scale}/logs/judge_claims.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        columns=table_columns(),
        roles=ROLES,
        experiments=claimed_experiments,
        partial=partial_corpora,
    script:
        "../workflow/scripts/judge_claims.py"


rule publish_claims:
    input:
        expand("results/{scale}/claims.{{form}}", scale=config["scale"]),
    output:
        "results/claims.{form}",
    log:
        "results/logs/publish_claims_{form}.log",
    wildcard_constraints:
        form="csv|html",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    shell:
        "cp {input} {output}.tmp 2> {log} && mv {output}.tmp {output} 2>> {log}"
