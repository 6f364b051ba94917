# Shards and gene tables to a corpus: gene and label vocabularies, strata, splits.


rule build_corpus:
    input:
        shards=corpus_shards,
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
        ontologies=config["ontologies"],
    script:
        "../workflow/scripts/build_corpus.py"
