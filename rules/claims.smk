# The paper's claims: `claims`, against Table 1, and `claims_all`, also against studies, sweeps and known networks, which it runs.


rule judge_claims:
    input:
        training_files,
        further_files,
        table="results/{scale}/table1_long.csv",
        ledger="config/paper/claims.yaml",
        paper="config/paper/table1.csv",
    output:
        csv="results/{scale}/{claims}.csv",
        html=report(
            "results/{scale}/{claims}.html",
            caption="../workflow/report/claims.rst",
            category="Claims",
        ),
    log:
        "results/{scale}/logs/judge_claims/{claims}.log",
    wildcard_constraints:
        claims=f"claims|{WITH_ALL}",
    conda:
        "../envs/scprint2.yaml"
    params:
        columns=table_columns(),
        roles=ROLES,
        experiments=claimed_settings,
        partial=partial_corpora,
        trainings=claimed_trainings,
        further=further_sources,
        absent=absent_sources,
    script:
        "../workflow/scripts/judge_claims.py"


rule publish_claims:
    input:
        expand("results/{scale}/{{claims}}.{{form}}", scale=config["scale"]),
    output:
        "results/{claims}.{form}",
    log:
        "results/logs/publish_{claims}_{form}.log",
    wildcard_constraints:
        claims=f"claims|{WITH_ALL}",
        form="csv|html",
    localrule: True
    conda:
        "../envs/scprint2.yaml"
    shell:
        "cp {input} {output}.tmp 2> {log} && mv {output}.tmp {output} 2>> {log}"
