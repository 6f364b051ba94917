# Shards and gene tables to a corpus: without duplicates; gene and label vocabularies, strata, splits.


rule find_duplicates:
    input:
        chunks=corpus_chunks,
    output:
        members="results/{scale}/corpora/{corpus}/members.json",
        shards=directory("results/{scale}/corpora/{corpus}/shards"),
    log:
        "results/{scale}/logs/find_duplicates/{corpus}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        datasets=corpus_datasets,
    script:
        "../workflow/scripts/find_duplicates.py"


rule check_leakage:
    input:
        members="results/{scale}/corpora/{corpus}/members.json",
        genes=corpus_gene_tables,
        tests=expand(
            "results/{{scale}}/datasets/{dataset}/cells.h5ad", dataset=TEST_DATASETS
        ),
    output:
        ledger=report(
            "results/{scale}/corpora/{corpus}_leakage.tsv",
            caption="../workflow/report/leakage.rst",
            category="Corpora",
            labels={"corpus": "{corpus}"},
        ),
        seen="results/{scale}/corpora/{corpus}_seen.tsv.gz",
    log:
        "results/{scale}/logs/check_leakage/{corpus}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        organisms=corpus_organisms,
        sources=corpus_sources,
    script:
        "../workflow/scripts/check_leakage.py"


rule build_corpus:
    input:
        members="results/{scale}/corpora/{corpus}/members.json",
        genes=corpus_gene_tables,
        ledger="results/{scale}/corpora/{corpus}_leakage.tsv",
        seen="results/{scale}/corpora/{corpus}_seen.tsv.gz",
        ontologies=ONTOLOGY_FILES,
    output:
        "results/{scale}/corpora/{corpus}.json",
    log:
        "results/{scale}/logs/build_corpus/{corpus}.log",
    priority: 1  # before the trainings of other corpora; else the last corpus, and its training, may wait for all of them
    conda:
        "../envs/scprint2.yaml"
    params:
        organisms=corpus_organisms,
        leakage=config["leakage"],
        validation_share=SCALE["constants"]["validation_share"],
        ontologies=config["ontologies"],
    script:
        "../workflow/scripts/build_corpus.py"
