# What became of the data: a page per dataset and per corpus. `snakemake data_report` makes those of the variants to be run.


rule report_dataset:
    input:
        quality="results/{scale}/datasets/{dataset}/qc.json",
        genes="results/{scale}/datasets/{dataset}/genes.tsv",
        read="results/{scale}/datasets/{dataset}/read.parquet",
        drawn="results/{scale}/datasets/{dataset}/drawn.parquet",
    output:
        report(
            "reports/{scale}/datasets/{dataset}.html",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"of": "{dataset}"},
        ),
    log:
        "results/{scale}/logs/report_dataset/{dataset}.log",
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/report_dataset.py"


rule report_chunk:
    input:
        chunk="results/{scale}/chunks/{corpus}/{chunk}.json",
    output:
        report(
            "reports/{scale}/chunks/{corpus}/{chunk}.html",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"of": "chunk {chunk} of {corpus}"},
        ),
    log:
        "results/{scale}/logs/report_chunk/{corpus}/{chunk}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        folder="reports/{scale}/datasets",
    script:
        "../workflow/scripts/report_chunk.py"


rule report_corpus:
    input:
        corpus="results/{scale}/corpora/{corpus}.json",
        members="results/{scale}/corpora/{corpus}/members.json",
        vectors=SCALE["gene_embedding"] or [],
    output:
        page=report(
            "reports/{scale}/corpora/{corpus}.html",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"of": "corpus {corpus}"},
        ),
        pdf="results/{scale}/figures/corpora/{corpus}_organisms.pdf",
        png="results/{scale}/figures/corpora/{corpus}_organisms.png",
        csv="results/{scale}/figures/corpora/{corpus}_organisms.csv",
    log:
        "results/{scale}/logs/report_corpus/{corpus}.log",
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/report_corpus.py"
