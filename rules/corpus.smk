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


rule build_corpus:
    input:
        members="results/{scale}/corpora/{corpus}/members.json",
        genes=corpus_gene_tables,
        tests=expand(
            "results/{{scale}}/datasets/{dataset}/cells.h5ad", dataset=TEST_DATASETS
        ),
    output:
        "results/{scale}/corpora/{corpus}.json",
    log:
        "results/{scale}/logs/build_corpus/{corpus}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        organisms=corpus_organisms,
        validation_share=SCALE["constants"]["validation_share"],
    script:
        "../workflow/scripts/build_corpus.py"
