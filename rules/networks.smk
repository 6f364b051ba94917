# How far the known networks agree (figure 5d), and how all rows do against each. No part of Table 1; made by
# `snakemake network_report`, or one by one: `snakemake results/figures/truth_overlap.pdf`.


rule compare_truths:
    input:
        [
            f"results/{{scale}}/truth/{organism}/{truth}.tsv"
            for organism, names in compared_truths().items()
            for truth in names
        ],
    output:
        pdf="results/{scale}/figures/truth_overlap.pdf",
        png=report(
            "results/{scale}/figures/truth_overlap.png",
            caption="../workflow/report/truth_overlap.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/truth_overlap.csv",
    log:
        "results/{scale}/logs/compare_truths.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        truths=compared_truths(),
    script:
        "../workflow/scripts/compare_truths.py"


rule draw_networks:
    input:
        scores=network_score_files,
        controls="results/{scale}/controls.tsv",
    output:
        pdf="results/{scale}/figures/networks.pdf",
        png=report(
            "results/{scale}/figures/networks.png",
            caption="../workflow/report/networks.rst",
            category="Figures",
        ),
        csv="results/{scale}/figures/networks.csv",
    log:
        "results/{scale}/logs/draw_networks.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        truths={name: known_networks(name) for name in TEST_DATASETS},
    script:
        "../workflow/scripts/draw_networks.py"
