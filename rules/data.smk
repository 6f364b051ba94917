# From sources to processed datasets. Which of the first rules makes resources/<scale>/ is the scale's `source`.


rule simulate_organisms:
    output:
        genes=[
            f"resources/{{scale}}/{row.genes}"
            for row in ORGANISMS.values()
            if not is_url(row.genes)
        ],
        embedding="resources/{scale}/gene_embedding.parquet",
    log:
        "results/{scale}/logs/simulate_organisms.log",
    wildcard_constraints:
        scale=only_for("simulate"),
    conda:
        "../envs/scprint2.yaml"
    params:
        simulation=SIMULATION,
    script:
        "../workflow/scripts/simulate_organisms.py"


rule simulate_dataset:
    output:
        "resources/{scale}/datasets/{dataset}.h5ad",
    log:
        "results/{scale}/logs/simulate_dataset/{dataset}.log",
    wildcard_constraints:
        scale=only_for("simulate"),
    conda:
        "../envs/scprint2.yaml"
    params:
        simulation=SIMULATION,
    script:
        "../workflow/scripts/simulate_dataset.py"


rule simulate_truth:
    output:
        "resources/{scale}/truth/{truth}.tsv.gz",
    log:
        "results/{scale}/logs/simulate_truth/{truth}.log",
    wildcard_constraints:
        scale=only_for("simulate"),
    conda:
        "../envs/scprint2.yaml"
    params:
        simulation=SIMULATION,
    script:
        "../workflow/scripts/simulate_truth.py"


rule download_dataset:
    output:
        "resources/{scale}/datasets/{dataset}.h5ad",
    log:
        "results/{scale}/logs/download_dataset/{dataset}.log",
    wildcard_constraints:
        scale=only_for("download"),
    conda:
        "../envs/scprint2.yaml"
    params:
        dataset=dataset_source,
        checksums=CHECKSUMS,
    script:
        "../workflow/scripts/download_dataset.py"


rule download_organism_file:
    output:
        "resources/{scale}/genes/{file}",
    log:
        "results/{scale}/logs/download_organism_file/{file}.log",
    wildcard_constraints:
        scale=(
            config["scale"]
            if any(is_url(row.genes) for row in ORGANISMS.values())
            else NEVER
        ),
        file=r"[A-Za-z0-9_.-]+",
    conda:
        "../envs/scprint2.yaml"
    params:
        url=lookup(dpath="{file}", within=organism_urls()),
        checksums=CHECKSUMS,
    script:
        "../workflow/scripts/download_file.py"


rule download_source:
    output:
        "resources/{scale}/sources/{file}",
    log:
        "results/{scale}/logs/download_source/{file}.log",
    wildcard_constraints:
        scale=only_for("download"),
        file=r"[A-Za-z0-9_.-]+",
    conda:
        "../envs/scprint2.yaml"
    params:
        source=source_origin,
        checksums=CHECKSUMS,
    script:
        "../workflow/scripts/download_source.py"


ruleorder: unpack_dataset > download_dataset


rule unpack_dataset:
    input:
        dataset_archive,
    output:
        "resources/{scale}/datasets/{dataset}.h5ad",
    log:
        "results/{scale}/logs/unpack_dataset/{dataset}.log",
    wildcard_constraints:
        scale=only_for("download"),
        dataset=archived_datasets(),
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/unpack_dataset.py"


rule convert_truth:
    input:
        unpack(truth_files),
    output:
        "resources/{scale}/truth/{truth}.tsv.gz",
    log:
        "results/{scale}/logs/convert_truth/{truth}.log",
    wildcard_constraints:
        scale=only_for("download"),
    conda:
        "../envs/scprint2.yaml"
    params:
        conversion=truth_conversion,
    script:
        "../workflow/scripts/convert_truth.py"


rule link_dataset:
    input:
        folder_file,
    output:
        "resources/{scale}/datasets/{dataset}.h5ad",
    log:
        "results/{scale}/logs/link_dataset/{dataset}.log",
    wildcard_constraints:
        scale=only_for("folder"),
    conda:
        "../envs/scprint2.yaml"
    params:
        sha256=dataset_sha256,
    script:
        "../workflow/scripts/link_file.py"


rule link_truth:
    input:
        folder_truth,
    output:
        "resources/{scale}/truth/{truth}.tsv.gz",
    log:
        "results/{scale}/logs/link_truth/{truth}.log",
    wildcard_constraints:
        scale=only_for("folder"),
    conda:
        "../envs/scprint2.yaml"
    params:
        sha256="",
    script:
        "../workflow/scripts/link_file.py"


rule build_gene_table:
    input:
        unpack(organism_files),
    output:
        "results/{scale}/genes/{organism}.tsv",
    log:
        "results/{scale}/logs/build_gene_table/{organism}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        organism=lookup(
            dpath="{organism}", within={organism_name(o): o for o in ORGANISMS}
        ),
    script:
        "../workflow/scripts/build_gene_table.py"


rule preprocess_dataset:
    input:
        raw="resources/{scale}/datasets/{dataset}.h5ad",
        genes=gene_table,
        labels=label_table,
        ontologies=ONTOLOGY_FILES,
    output:
        cells="results/{scale}/datasets/{dataset}/cells.h5ad",
        genes="results/{scale}/datasets/{dataset}/genes.tsv",
        labels="results/{scale}/datasets/{dataset}/labels.tsv",
        quality="results/{scale}/datasets/{dataset}/qc.json",
        read="results/{scale}/datasets/{dataset}/read.parquet",
        drawn="results/{scale}/datasets/{dataset}/drawn.parquet",
    log:
        "results/{scale}/logs/preprocess_dataset/{dataset}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        dataset=dataset_content,
        settings=SCALE["preprocessing"],
        secondary="keep",  # cells that an atlas marks as published before: a test set stays as it was published
        ontologies=config["ontologies"],
    script:
        "../workflow/scripts/preprocess_dataset.py"


rule process_chunk:
    input:
        unpack(chunk_inputs),
        ontologies=ONTOLOGY_FILES,
    output:
        "results/{scale}/chunks/{corpus}/{chunk}.json",
    log:
        "results/{scale}/logs/process_chunk/{corpus}/{chunk}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        datasets=chunk_datasets,
        organisms=chunk_organisms,
        settings=SCALE["preprocessing"],
        validation_share=SCALE["constants"]["validation_share"],
        ontologies=config["ontologies"],
        source=SCALE["source"],
        simulation=SIMULATION,
        checksums=CHECKSUMS,
    script:
        "../workflow/scripts/process_chunk.py"


rule build_truth:
    input:
        truth="resources/{scale}/truth/{truth}.tsv.gz",
        genes="results/{scale}/genes/{organism}.tsv",
    output:
        "results/{scale}/truth/{organism}/{truth}.tsv",
    log:
        "results/{scale}/logs/build_truth/{organism}/{truth}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        organism=lookup(
            dpath="{organism}", within={organism_name(o): o for o in ORGANISMS}
        ),
    script:
        "../workflow/scripts/build_truth.py"
