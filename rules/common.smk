# What all rules share: the configured scale as plain values, and functions from wildcards to files and values. Nothing here may
# import torch or pandas, because every job on a cluster reads the Snakefile twice.
import json
import os
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from scprint2 import MODEL_REVISION
from scprint2.config import overlay, tasks
from scprint2.data import corpora, inventory, protein_models, registry, truths

CONFIG = Path("config")
NEVER = "(?!)"  # a wildcard constraint that nothing meets

# Every job inherits these, on a cluster too: results must not depend on hash order, and nothing may open a window. Numba, which
# scanpy calls, takes all cores unless told otherwise, and torch with it, since both ask one OpenMP: two jobs on two cores then
# waited for each other, at two to three times the cost.
# Ontologies are the same for all of them: what is above a term is asked for in labels, corpora and scores.
os.environ.update(
    PYTHONHASHSEED="0",
    MPLBACKEND="Agg",
    JAX_PLATFORMS="cpu",
    NUMBA_NUM_THREADS="1",
    SCPRINT2_ONTOLOGIES=json.dumps(config["ontologies"]),
)


# --- the scale: what is there, and what is to be run ---


def data_folder():
    """The user's folder of h5ad files, where the scale reads one."""
    if SCALE["source"] != "folder":
        return None
    if not config["data"]:
        raise WorkflowError(
            f"scale {config['scale']!r} reads a folder of h5ad files: add --config data=FOLDER"
        )
    if not Path(config["data"]).is_dir():
        raise WorkflowError(
            f"data={config['data']!r} is not a folder. Give the folder that holds your h5ad files."
        )
    return Path(config["data"])


def registry_path(name, default):
    """A table of the user's own folder where it has one, else the scale's."""
    own = DATA / name if DATA else None
    return str(own) if own and own.is_file() else default


def simulation_settings():
    """The numbers of the simulated world, which stand beside the registry of its datasets."""
    path = Path(SCALE["registry"]).with_name("simulation.yaml")
    return overlay.read_yaml(path) if SCALE["source"] == "simulate" else {}


def selected_variants():
    """The variants to run, in the order of Table 1; `all` are those whose corpus the scale has."""
    corpora = {name: tree["data"]["corpus"] for name, tree in EXPERIMENTS.items()}
    chosen = config["variants"]
    if chosen == "all":
        return [name for name, corpus in corpora.items() if CORPORA.get(corpus)]
    chosen = chosen.split(",") if isinstance(chosen, str) else chosen
    unknown = sorted(set(chosen) - set(corpora))
    if unknown:
        raise WorkflowError(f"no variants {unknown}; known: {list(corpora)}")
    for name in chosen:
        if not CORPORA.get(corpora[name]):
            raise WorkflowError(
                f"variant {name!r} is trained on corpus {corpora[name]!r}, which has no datasets at scale {config['scale']!r}; "
                f"add it to `corpora` in config/scales/{config['scale']}.yaml"
            )
    return [name for name in corpora if name in chosen]


def resolve_variants():
    """Every variant's experiment, name to values; a mistake in any of them shows before any job, also in those not chosen."""
    schema = json.loads((CONFIG / "schemas" / "experiment.schema.json").read_text())
    validator = Draft202012Validator(schema)
    resolved = {
        name: overlay.resolve(CONFIG, scale=config["scale"], variant=name)
        for name in overlay.list_variants(CONFIG)
    }
    mistakes = {}
    for name, experiment in resolved.items():
        error = best_match(validator.iter_errors(experiment))
        if error:
            mistakes.setdefault(f"{error.json_path}: {error.message}", []).append(name)
    if mistakes:
        lines = [f"variants {names}, {text}" for text, names in mistakes.items()]
        raise WorkflowError("\n".join(lines))
    return resolved


def seeds(row):
    """The seeds of a variant or a baseline."""
    return range(config["seeds"] or SCALE["seeds"].get(row, SCALE["seeds"]["default"]))


def only_for(source):
    """A constraint on {scale}: the configured scale if this is its source."""
    return config["scale"] if SCALE["source"] == source else NEVER


def resumptions():
    """Retries of a training that goes on where the last job stopped.

    Only the main process may retry: the two that run inside a job would start the training again in what is left of its time.
    """
    return config["resumptions"] if workflow.is_main_process else 0


# --- datasets and organisms ---


def is_url(file):
    return file.startswith(("https://", "http://", "file://"))


def organism_name(organism):
    """An organism's id as part of a file name."""
    return organism.replace(":", "_")


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


def dataset_organism(wildcards):
    return DATASETS[wildcards.dataset].organism


def gene_table(wildcards):
    """The gene table of a dataset's organism."""
    return f"results/{wildcards.scale}/genes/{organism_name(dataset_organism(wildcards))}.tsv"


def label_table(wildcards):
    """The table from a dataset's labels to ontology terms, where there is one: in the user's folder, or in config/."""
    folders = [folder / "labels" for folder in (DATA, CONFIG) if folder]
    tables = [folder / f"{wildcards.dataset}.tsv" for folder in folders]
    return next((str(table) for table in tables if table.is_file()), [])


def dataset_source(wildcards):
    """What the registry says about where a dataset comes from, by value."""
    row = DATASETS[wildcards.dataset].to_row()
    return {
        name: row[name]
        for name in ("name", "organism", "url", "file", "sha256", "bytes", "md5")
    }


def dataset_content(wildcards):
    """What the registry says about a dataset that changes what is made of it, by value."""
    row = DATASETS[wildcards.dataset].to_row()
    return {
        name: row[name]
        for name in ("name", "organism", "batch_key", "label_key", "layers", "subset")
    }


def dataset_sha256(wildcards):
    """What a dataset's file must hash to; empty where the registry does not say."""
    return DATASETS[wildcards.dataset].sha256


def dataset_truth(wildcards):
    """The network truth of a dataset, before its genes are mapped."""
    return (
        f"resources/{wildcards.scale}/truth/{DATASETS[wildcards.dataset].truth}.tsv.gz"
    )


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


# --- corpora and trainings ---


def announce_downloads():
    """Say at planning time what a run downloads, as far as the registries know; once, not in every job."""
    if SCALE["source"] != "download" or not workflow.is_main_process:
        return
    corpora_used = {EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS}
    names = {name for corpus in corpora_used for name in CORPORA[corpus]}
    files = [DATASETS[name].bytes for name in sorted(names.union(TEST_DATASETS))]
    used = {DATASETS[name].truth for name in TEST_DATASETS}.intersection(TRUTHS)
    published = {TRUTHS[name].file: TRUTHS[name].bytes for name in used}
    logger.warning(f"data: {inventory.Total.of(files + list(published.values()))}")
    for corpus, missing in incomplete_corpora().items():
        logger.warning(f"corpus {corpus} is incomplete: {missing}")


def incomplete_corpora():
    """The corpora that the chosen variants need and whose listings are not complete, with what is missing."""
    used = {EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS}
    return {name: text for name, text in PARTIAL.items() if name in used}


def refuse_incomplete_corpora():
    """Stop a run, not a plan, that builds a corpus which would be a part of what it is called."""
    built = {
        job.wildcards.corpus
        for job in workflow.dag.needrun_jobs()
        if job.rule.name == "build_corpus"
    }
    missing = built.intersection(PARTIAL)
    if missing and workflow.is_main_process:
        lines = "; ".join(f"{name} ({PARTIAL[name]})" for name in sorted(missing))
        raise WorkflowError(f"corpora are incomplete: {lines}")


def corpus_organisms(wildcards):
    """The organisms of a corpus, in the order of the organism registry."""
    found = {DATASETS[name].organism for name in CORPORA[wildcards.corpus]}
    return [organism for organism in ORGANISMS if organism in found]


def corpus_gene_tables(wildcards):
    return [
        f"results/{wildcards.scale}/genes/{organism_name(name)}.tsv"
        for name in corpus_organisms(wildcards)
    ]


def corpus_shards(wildcards):
    return [
        f"results/{wildcards.scale}/datasets/{name}/shard"
        for name in CORPORA[wildcards.corpus]
    ]


def corpus_sources(wildcards):
    """Where the datasets of a corpus and the test sets come from, to tell what they share."""
    rows = {
        name: DATASETS[name] for name in [*CORPORA[wildcards.corpus], *TEST_DATASETS]
    }
    return {
        name: {
            "file": Path(row.file or "".join(row.url[:1])).name,
            "subset": row.subset,
            "collection": row.collection,
        }
        for name, row in rows.items()
    }


def seen_cells(wildcards):
    """The test cells that a row's corpus holds; none where such corpora are refused."""
    if config["leakage"] == "refuse":
        return []
    experiment = EXPERIMENTS.get(wildcards.variant, EXPERIMENTS["base"])
    return [
        f"results/{wildcards.scale}/corpora/{experiment['data']['corpus']}_seen.tsv.gz"
    ]


def baseline_corpus(wildcards):
    """The corpus that baselines learn from: that of the base variant."""
    return f"results/{wildcards.scale}/corpora/{BASELINE_CORPUS}.json"


def baseline_cells(wildcards):
    """The datasets of that corpus."""
    return [
        f"results/{wildcards.scale}/datasets/{name}/cells.h5ad"
        for name in CORPORA[BASELINE_CORPUS]
    ]


def experiment_corpus(wildcards):
    """The corpus that a variant is trained on."""
    return f"results/{wildcards.scale}/corpora/{EXPERIMENTS[wildcards.variant]['data']['corpus']}.json"


def experiment_text(wildcards):
    """The resolved experiment by value: a comment in config/ changes nothing, a changed value changes just its rows."""
    return json.dumps(EXPERIMENTS[wildcards.variant])


# --- the gymnasium ---


def job_paths(pattern, jobs):
    """Fill task and dataset into a pattern, one path per job; other wildcards stay."""
    return [
        pattern.replace("{task}", job.task).replace("{dataset}", job.dataset)
        for job in jobs
    ]


def jobs_of(row):
    """The predictions of a row: all for a model, those of its task for a baseline."""
    return [job for job in JOBS if row in EXPERIMENTS or job.task == BASELINES[row][0]]


def with_truth(jobs):
    """The jobs that are scored against a known network."""
    return [
        job for job in jobs if job.task == "networks" and DATASETS[job.dataset].truth
    ]


def job_files(jobs):
    """The processed datasets and the known networks that some jobs read."""
    cells = job_paths("results/{scale}/datasets/{dataset}/cells.h5ad", jobs)
    truths = job_paths("results/{scale}/truth/{dataset}.tsv", with_truth(jobs))
    return list(dict.fromkeys(cells + truths))


def job_text(jobs):
    """What `scprint2 predict` is to do, every setting by value."""
    plan = []
    for job in jobs:
        cells, *truth = (
            path.format(scale=config["scale"]) for path in job_files([job])
        )
        plan.append(
            job.to_json() | {"cells": cells, "truth": truth[0] if truth else None}
        )
    return json.dumps(plan)


def find_jobs(wildcards):
    """The one job that a task and a dataset name."""
    return [
        job
        for job in JOBS
        if (job.task, job.dataset) == (wildcards.task, wildcards.dataset)
    ]


def find_job_files(wildcards):
    return [
        path.format(scale=wildcards.scale) for path in job_files(find_jobs(wildcards))
    ]


def find_job_text(wildcards):
    return job_text(find_jobs(wildcards))


def find_notebook(wildcards):
    return TASKS[wildcards.task]["notebook"]


# --- Table 1 ---


def score_files(wildcards):
    """Every score file of every row and seed."""
    pattern = "results/{scale}/scores/{variant}/seed_{seed}/{task}/{dataset}.tsv"
    return [
        path.format(scale=wildcards.scale, variant=row, seed=seed)
        for row in [*VARIANTS, *BASELINES]
        for seed in seeds(row)
        for path in job_paths(pattern, jobs_of(row))
    ]


def table_rows():
    """The rows of Table 1: models, then baselines, with all that the table says about them."""
    known = overlay.list_variants(CONFIG)
    models = [
        {
            "variant": name,
            "section": known[name].section,
            "name": known[name].table_name,
            "reference": known[name].reference,
            "seeds": len(seeds(name)),
            "experiment": EXPERIMENTS[name],
        }
        for name in VARIANTS
    ]
    baselines = [
        {
            "variant": name,
            "section": "baseline",
            "name": title,
            "reference": "base",
            "seeds": len(seeds(name)),
            "tasks": [task],
        }
        for name, (task, title) in BASELINES.items()
    ]
    return models + baselines


def table_columns():
    """The columns of Table 1, with the datasets behind their roles."""
    columns = tasks.read_tasks(CONFIG, scale=config["scale"])["columns"]
    return {
        name: {
            "task": column["task"],
            "datasets": ROLES[column["role"]],
            "metric": column["metric"],
        }
        for name, column in columns.items()
    }


def claimed_experiments(wildcards):
    """What the claims ledger looks for settings in, by value: experiments at the paper's scale, or that scale itself."""
    claims = overlay.read_yaml(CONFIG / "paper" / "claims.yaml")["claims"]
    names = {
        claim["test"]["of"] for claim in claims if claim["test"]["kind"] == "setting"
    }
    return {name: overlay.read_paper_settings(CONFIG, name) for name in sorted(names)}


def partial_corpora(wildcards):
    """Variants whose corpus is made from a listing that is not complete, with what it lacks."""
    corpora = {name: EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS}
    return {
        name: PARTIAL[corpus] for name, corpus in corpora.items() if corpus in PARTIAL
    }


def model_folders(wildcards):
    """Every trained model."""
    return [
        f"results/{wildcards.scale}/models/{row}/seed_{seed}"
        for row in VARIANTS
        for seed in seeds(row)
    ]


SCALE = overlay.read_scale(CONFIG, config["scale"])
DATA = data_folder()
TESTS = registry.read_registry(registry_path("datasets.tsv", SCALE["registry"]))
WORDS = {name: row.roles for name, row in TESTS.items()}
RESOLVED = corpora.resolve_corpora(
    SCALE["corpora"],
    TESTS,
    folder=CONFIG / inventory.MANIFESTS,
    where=f"scale {config['scale']}",
)
DATASETS, CORPORA, PARTIAL = RESOLVED.datasets, RESOLVED.corpora, RESOLVED.partial
ROLES = overlay.assign_datasets(SCALE["roles"], WORDS, where=config["scale"])
TRUTH_REGISTRY = str(Path(SCALE["registry"]).with_name(inventory.TRUTHS))
TRUTHS = truths.read_truths(TRUTH_REGISTRY)
CHECKSUMS = str(CONFIG / inventory.CHECKSUMS)
ORGANISMS = registry.read_organisms(registry_path("organisms.tsv", SCALE["organisms"]))
PROTEIN_MODELS = protein_models.read_protein_models(CONFIG / "protein_models.tsv")
SIMULATION = simulation_settings()

EXPERIMENTS = resolve_variants()
VARIANTS = selected_variants()
TASKS = tasks.read_tasks(CONFIG, scale=config["scale"])["tasks"]
JOBS = tasks.list_jobs(CONFIG, scale=config["scale"], roles=ROLES)
BASELINES = {
    name: (task, title)
    for name, (task, title) in tasks.list_baselines(
        CONFIG, scale=config["scale"]
    ).items()
    if any(job.task == task for job in JOBS)
}
BASELINE_CORPUS = EXPERIMENTS["base"]["data"]["corpus"]
TEST_DATASETS = sorted({job.dataset for job in JOBS})
announce_downloads()

MODEL_ROWS = "|".join(VARIANTS)
BASELINE_ROWS = "|".join(BASELINES) or NEVER
MERGED = config["scale"] if SCALE["merged"] else NEVER
SEPARATE = NEVER if SCALE["merged"] else config["scale"]


wildcard_constraints:
    scale=config["scale"],
    variant=f"{MODEL_ROWS}|{BASELINE_ROWS}",
    seed=r"\d+",
    task="|".join(TASKS),
    dataset=registry.NAME.pattern,  # not the names themselves: there may be 26,000
    truth=registry.TRUTH.pattern,
    organism="|".join(map(organism_name, ORGANISMS)),
    corpus="|".join(CORPORA),
