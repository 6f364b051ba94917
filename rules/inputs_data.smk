# From wildcards to files and values: organisms, datasets, network truths, chunks of training datasets, corpora.


# --- organisms ---


def is_url(file):
    return file.startswith(("https://", "http://", "file://"))


def organism_file(file):
    """Where an organism's file lies: downloaded, in the user's folder, or among the scale's resources."""
    if is_url(file):
        return f"resources/{config['scale']}/genes/{registry.url_name(file)}"
    return str(DATA / file) if DATA else f"resources/{config['scale']}/{file}"


def find_organism(wildcards):
    return next(
        row
        for row in ORGANISMS.values()
        if organism_name(row.organism) == wildcards.organism
    )


def organism_files(wildcards):
    """The files that describe an organism: its genes and, where there are any, aliases, transcription factors, orthologs."""
    row = find_organism(wildcards)
    kinds = ("genes", "aliases", "transcription_factors", "orthologs")
    files = {
        name: organism_file(row.files[name]) for name in kinds if name in row.files
    }
    if row.homologies and not row.orthologs:
        files["orthologs"] = f"results/{wildcards.scale}/genes/families.tsv"
    return files


def protein_files(wildcards):
    """The proteins of an organism, and the annotation that says which are canonical."""
    row = find_organism(wildcards)
    if not row.proteins:
        raise WorkflowError(
            f"organism {row.organism} has no proteins: add a FASTA file of them to the column `proteins` of its registry"
        )
    return {
        "proteins": organism_file(row.proteins),
        "annotation": organism_file(row.genes),
    }


def organism_urls():
    """The organisms' files that are downloaded, file name to URL."""
    files = [file for row in ORGANISMS.values() for file in row.files.values()]
    return {registry.url_name(file): file for file in files if is_url(file)}


def used_organisms():
    """The organisms of all datasets, in the order of the organism registry."""
    found = {row.organism for row in DATASETS.values()}
    return [row for name, row in ORGANISMS.items() if name in found]


def homology_files(wildcards):
    """Homologies of the organisms that are used; each file holds those to all other species."""
    return [organism_file(row.homologies) for row in used_organisms() if row.homologies]


def ensembl_species():
    """What Ensembl calls the organisms that are used, to their ids."""
    return {row.species: row.organism for row in used_organisms() if row.homologies}


def protein_vectors(wildcards):
    """The vectors of the proteins of all organisms that are used."""
    return [
        f"results/{wildcards.scale}/proteins/{organism_name(row.organism)}.parquet"
        for row in used_organisms()
    ]


def protein_model_folder(wildcards):
    """The protein language model: one of the registry, which is downloaded, or a folder of the user's."""
    model = config["protein_model"]
    return (
        f"resources/{wildcards.scale}/models/{model}"
        if model in PROTEIN_MODELS
        else model
    )


def protein_model_files(wildcards):
    """The files of the protein language model; those of a folder of the user's are not looked at here."""
    files = PROTEIN_MODELS.get(config["protein_model"], {})
    return [f"{protein_model_folder(wildcards)}/{file}" for file in files]


def protein_model_file(wildcards):
    """Where one file of a protein language model is to be had, by value."""
    source = PROTEIN_MODELS[wildcards.model][wildcards.file]
    return {"url": source.url, "sha256": source.sha256, "bytes": source.bytes}


# --- datasets and network truths ---


def dataset_organism(wildcards):
    return DATASETS[wildcards.dataset].organism


def gene_table(wildcards):
    """The gene table of a dataset's organism."""
    return f"results/{wildcards.scale}/genes/{organism_name(dataset_organism(wildcards))}.tsv"


def label_table(wildcards):
    """The table from a dataset's labels to ontology terms, where there is one."""
    return LABEL_TABLES.get(wildcards.dataset, [])


def dataset_row(name):
    """What the registry says about where a dataset comes from and about what changes what is made of it, by value."""
    row = DATASETS[name]
    kept = {"url", "file", "sha256", "bytes", "md5", *row.to_content()}
    return {name: value for name, value in row.to_row().items() if name in kept}


def dataset_source(wildcards):
    """What the registry says about where a dataset comes from, by value."""
    row = DATASETS[wildcards.dataset].to_row()
    return {
        name: row[name]
        for name in ("name", "organism", "url", "file", "sha256", "bytes", "md5")
    }


def dataset_content(wildcards):
    """What the registry says about a dataset that changes what is made of it, by value."""
    return DATASETS[wildcards.dataset].to_content()


def dataset_sha256(wildcards):
    """What a dataset's file must hash to; empty where the registry does not say."""
    return DATASETS[wildcards.dataset].sha256


def truth_path(dataset, truth):
    """A known network, its genes mapped to those of a dataset's organism."""
    organism = organism_name(DATASETS[dataset].organism)
    return f"results/{config['scale']}/truth/{organism}/{truth}.tsv"


def compared_truths():
    """The known networks of the test sets of each organism."""
    found = {}
    for dataset in TEST_DATASETS:
        organism = organism_name(DATASETS[dataset].organism)
        found.setdefault(organism, []).extend(known_networks(dataset))
    return {name: list(dict.fromkeys(truths)) for name, truths in found.items()}


def source_origin(wildcards):
    """What a registry says about where a file comes from that is made into something else, by value."""
    rows = [*TRUTHS.values(), *(row for row in TESTS.values() if row.is_archive)]
    row = next(row for row in rows if row.file == wildcards.file).to_row()
    return {name: row[name] for name in ("file", "url", "sha256", "bytes", "md5")}


def dataset_archive(wildcards):
    """The archive that holds a dataset."""
    return f"resources/{wildcards.scale}/sources/{DATASETS[wildcards.dataset].file}"


def archived_datasets():
    """A constraint on {dataset}: those that are published as archives."""
    return "|".join(name for name, row in TESTS.items() if row.is_archive) or NEVER


def truth_row(wildcards):
    """The row of a truth in the registry of truths."""
    if wildcards.truth not in TRUTHS:
        raise WorkflowError(
            f"no network truth {wildcards.truth!r} in {TRUTH_REGISTRY}; known: {sorted(TRUTHS)}"
        )
    return TRUTHS[wildcards.truth]


def truth_files(wildcards):
    """The published file of a truth and, where it needs one, the table that translates its names."""
    row = truth_row(wildcards)
    files = {"source": row.file} | (
        {"mapping": TRUTHS[row.mapping].file} if row.mapping else {}
    )
    return {
        name: f"resources/{wildcards.scale}/sources/{file}"
        for name, file in files.items()
    }


def truth_conversion(wildcards):
    """How a published network becomes a table of edges, by value."""
    row = truth_row(wildcards)
    return {"converter": row.converter, "cutoff": row.cutoff}


def folder_file(wildcards):
    """A dataset's file in the user's folder."""
    return str(DATA / (DATASETS[wildcards.dataset].file or f"{wildcards.dataset}.h5ad"))


def folder_truth(wildcards):
    """The one file in the user's folder, or below it, that has the name of a network truth."""
    endings = tuple(
        f".{kind}{packed}" for kind in ("tsv", "csv", "txt") for packed in ("", ".gz")
    )
    found = [
        path
        for path in DATA.rglob(f"{wildcards.truth}.*")
        if path.name.endswith(endings)
    ]
    if len(found) != 1:
        raise WorkflowError(
            f"network truth {wildcards.truth!r}: {len(found)} files of that name in {DATA}; there must be one, ending {endings}"
        )
    return str(found[0])


# --- chunks of training datasets ---


def chunk_names(wildcards):
    return CHUNKS[wildcards.corpus, wildcards.chunk]


def chunk_datasets(wildcards):
    """What the registry says about the datasets of a chunk, where it changes what is made of them, by value."""
    return [dataset_row(name) for name in chunk_names(wildcards)]


def chunk_organisms(wildcards):
    """The organisms of a chunk, in the order of the organism registry."""
    found = {DATASETS[name].organism for name in chunk_names(wildcards)}
    return [organism for organism in ORGANISMS if organism in found]


def chunk_inputs(wildcards):
    """The gene tables of a chunk, tables of its datasets' labels, and its raw files where they are the user's own."""
    names = chunk_names(wildcards)
    files = {
        "genes": [
            f"results/{wildcards.scale}/genes/{organism_name(organism)}.tsv"
            for organism in chunk_organisms(wildcards)
        ],
        "labels": [LABEL_TABLES[name] for name in names if name in LABEL_TABLES],
    }
    if SCALE["source"] == "folder":
        rows = [DATASETS[name] for name in names]
        files["raw"] = [str(DATA / (row.file or f"{row.name}.h5ad")) for row in rows]
    return files


# --- corpora ---


def corpus_datasets(wildcards):
    return CORPORA[wildcards.corpus]


def corpus_chunks(wildcards):
    """The reports of the chunks that hold a corpus' datasets."""
    wanted = set(CORPORA[wildcards.corpus])
    return [
        f"results/{wildcards.scale}/chunks/{corpus}/{chunk}.json"
        for (corpus, chunk), names in CHUNKS.items()
        if not wanted.isdisjoint(names)
    ]


def corpus_organisms(wildcards):
    """The organisms of a corpus, in the order of the organism registry."""
    found = {DATASETS[name].organism for name in CORPORA[wildcards.corpus]}
    return [organism for organism in ORGANISMS if organism in found]


def corpus_gene_tables(wildcards):
    return [
        f"results/{wildcards.scale}/genes/{organism_name(name)}.tsv"
        for name in corpus_organisms(wildcards)
    ]


def corpus_sources(wildcards):
    """Where the datasets of a corpus and the test sets come from, to tell what they share."""
    return dataset_sources([*CORPORA[wildcards.corpus], *TEST_DATASETS])


def dataset_sources(names):
    """File, subset and collection of some datasets."""
    rows = {name: DATASETS[name] for name in names}
    return {
        name: {
            "file": Path(row.file or "".join(row.url[:1])).name,
            "subset": row.subset,
            "collection": row.collection,
        }
        for name, row in rows.items()
    }


def data_report_pages(wildcards):
    """The reports of the corpora that the chosen variants and the baselines need, of their datasets, and of the test datasets."""
    wanted = {name for corpus in used_corpora() for name in CORPORA[corpus]}
    corpora = [
        f"reports/{config['scale']}/corpora/{name}.html"
        for name in sorted(used_corpora())
    ]
    chunks = [
        f"reports/{config['scale']}/chunks/{corpus}/{chunk}.html"
        for (corpus, chunk), names in CHUNKS.items()
        if not wanted.isdisjoint(names)
    ]
    tests = [
        f"reports/{config['scale']}/datasets/{name}.html" for name in TEST_DATASETS
    ]
    return corpora + chunks + tests
