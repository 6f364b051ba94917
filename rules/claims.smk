# The paper's claims: `claims`, against Table 1, and `claims_all`, also against studies, sweeps, known networks and
# the cells that trainings have seen, which it runs.


rule count_draws:
    input:
        model="results/{scale}/models/{variant}/seed_{seed}",
        corpus=experiment_corpus,
    output:
        "results/{scale}/draws/{variant}/seed_{seed}.json",
    log:
        "results/{scale}/logs/count_draws/{variant}/seed_{seed}.log",
    wildcard_constraints:
        variant=MODEL_ROWS,
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/count_draws.py"


rule judge_claims:
    input:
        counted_files,
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
        counted=counted_sources,
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
