# What gene tables need beyond the genes: ortholog families, one protein per gene, and a vector for each protein.


rule build_families:
    input:
        homology_files,
    output:
        families="results/{scale}/genes/families.tsv",
        audit="results/{scale}/genes/orthologs.tsv",
    log:
        "results/{scale}/logs/build_families.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        species=ensembl_species(),
    script:
        "../workflow/scripts/build_families.py"


rule extract_proteins:
    input:
        unpack(protein_files),
        genes="results/{scale}/genes/{organism}.tsv",
    output:
        "results/{scale}/proteins/{organism}.tsv",
    log:
        "results/{scale}/logs/extract_proteins/{organism}.log",
    conda:
        "../envs/scprint2.yaml"
    params:
        organism=lookup(
            dpath="{organism}", within={organism_name(o): o for o in ORGANISMS}
        ),
    script:
        "../workflow/scripts/extract_proteins.py"


rule download_protein_model:
    output:
        "resources/{scale}/models/{model}/{file}",
    log:
        "results/{scale}/logs/download_protein_model/{model}/{file}.log",
    wildcard_constraints:
        model="|".join(PROTEIN_MODELS),
        file=r"[A-Za-z0-9_.-]+",
    conda:
        "../envs/scprint2.yaml"
    params:
        source=protein_model_file,
    script:
        "../workflow/scripts/download_protein_model.py"


rule embed_proteins:
    input:
        proteins="results/{scale}/proteins/{organism}.tsv",
        model=protein_model_files,
    output:
        "results/{scale}/proteins/{organism}.parquet",
    log:
        "results/{scale}/logs/embed_proteins/{organism}.log",
    conda:
        "../envs/proteins.yaml"
    params:
        model=protein_model_folder,
        work="work/{scale}/proteins/{organism}",
    shell:
        "scprint2 embed-proteins --proteins {input.proteins} --model {params.model:q} --work {params.work}"
        " --out {output} > {log} 2>&1"


rule join_gene_embeddings:
    input:
        protein_vectors,
    output:
        "results/{scale}/gene_embedding.parquet",
    log:
        "results/{scale}/logs/join_gene_embeddings.log",
    conda:
        "../envs/scprint2.yaml"
    script:
        "../workflow/scripts/join_gene_embeddings.py"
