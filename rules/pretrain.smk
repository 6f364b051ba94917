# One training per variant and seed.
#
# The model folder is published whole when the training ends. Until then its state is in work/, which is no output: Snakemake
# removes the outputs of a job that ends early, and exit 75 says just that (the time is over, submit me again). The budget is
# what resources.runtime leaves; resources are no reason to run again.
rule pretrain:
    input:
        corpus=experiment_corpus,
        embedding=SCALE["gene_embedding"] or [],
    output:
        directory("results/{scale}/models/{variant}/seed_{seed}"),
    log:
        "results/{scale}/logs/pretrain/{variant}/seed_{seed}.log",
    wildcard_constraints:
        variant=MODEL_ROWS,
    retries: resumptions()
    conda:
        "../envs/scprint2.yaml"
    resources:
        runtime=10080,
        margin_seconds=60,
    params:
        experiment=experiment_text,
        revision=MODEL_REVISION,
        work="work/{scale}/{variant}/seed_{seed}",
        embedding=(
            f"--gene-embedding {SCALE['gene_embedding']}"
            if SCALE["gene_embedding"]
            else ""
        ),
    shell:
        "scprint2 pretrain --experiment {params.experiment:q} --corpus {input.corpus} {params.embedding}"
        " --seed {wildcards.seed} --work {params.work} --out {output}"
        " --budget-seconds $(({resources.runtime} * 60 - {resources.margin_seconds})) > {log} 2>&1"
