# What all rules share: the configured scale as plain values. Functions from wildcards to files and values are in inputs_data.smk and
# inputs_rows.smk. Nothing here may import torch or pandas, because every job on a cluster reads the Snakefile twice.
import json
import os
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from scprint2 import MODEL_REVISION
from scprint2.config import overlay, sweeps, tasks
from scprint2.data import (
    chunk_plan,
    corpora,
    inventory,
    protein_models,
    registry,
    truths,
)

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


def label_tables():
    """Dataset to its table from labels to ontology terms; one in the user's folder goes before one in config/."""
    folders = [folder / "labels" for folder in (CONFIG, DATA) if folder]
    return {
        path.stem: str(path)
        for folder in folders
        for path in sorted(folder.glob("*.tsv"))
    }


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


def selected_baselines():
    """The baselines to run, each with its task and title: those of tasks that have datasets; controls are always among them."""
    known = {
        name: entry
        for name, entry in tasks.list_baselines(CONFIG, scale=config["scale"]).items()
        if any(job.task == entry[0] for job in JOBS)
    }
    chosen = config["baselines"]
    if chosen == "all":
        return known
    chosen = chosen.split(",") if isinstance(chosen, str) else chosen
    unknown = sorted(set(chosen) - set(known) - {"controls"})
    if unknown:
        raise WorkflowError(
            f"no baselines {unknown}; allowed: all, controls, or some of {list(known)}"
        )
    chosen = {*chosen, *tasks.list_controls(CONFIG, scale=config["scale"])}
    return {name: entry for name, entry in known.items() if name in chosen}


def resolve_variants():
    """Every variant's experiment, name to values; a mistake in any of them shows before any job, also in those not chosen."""
    schema = json.loads((CONFIG / "schemas" / "experiment.schema.json").read_text())
    validator = Draft202012Validator(schema)
    resolved = overlay.resolve_all(CONFIG, scale=config["scale"])
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


def organism_name(organism):
    """An organism's id as part of a file name."""
    return organism.replace(":", "_")


def known_networks(dataset):
    """The networks that a test set is scored against; after the first, which Table 1 shows, those whose file can be had."""
    first, rest = DATASETS[dataset].truth[:1], DATASETS[dataset].truth[1:]
    mirror = config["mirror"]
    return [
        *first,
        *(
            name
            for name in rest
            if name not in TRUTHS or TRUTHS[name].is_within_reach(mirror)
        ),
    ]


def announce_downloads():
    """Say at planning time what Table 1 of the chosen rows still downloads, as far as the tables know; once, not in every job."""
    if SCALE["source"] != "download" or not workflow.is_main_process:
        return
    wanted = {truth for name in TEST_DATASETS for truth in DATASETS[name].truth}
    used = {truth for name in TEST_DATASETS for truth in known_networks(name)}
    stock = inventory.Inventory.build(
        CONFIG,
        config["scale"],
        registry=TESTS,
        corpora=RESOLVED,
        truths=TRUTHS,
        protein_model=config["protein_model"],
    )
    files = stock.collect(
        datasets=[*processed_datasets(), *TEST_DATASETS],
        truths=sorted(used.intersection(TRUTHS)),
    )
    absent = stock.enforce(stock.absent(files))
    total = inventory.Total.of(file.expected.bytes for file in absent)
    logger.warning(f"data: {total}; {len(files) - len(absent)} are there")
    for kind in sorted({file.kind for file in absent}):
        sizes = [file.expected.bytes for file in absent if file.kind == kind]
        logger.warning(f"- {kind}: {inventory.Total.of(sizes)}")
    if absent:
        logger.warning(
            f"each of them: scprint2 data plan --scale {config['scale']} --files"
        )
    for name in sorted(wanted - used):
        logger.warning(
            f"networks are not scored against {name}: put {TRUTHS[name].file} into a folder and add --config mirror=FOLDER"
        )
    for corpus, missing in incomplete_corpora().items():
        logger.warning(f"corpus {corpus} is incomplete: {missing}")


def used_corpora():
    """The corpora that the chosen variants and the baselines learn from."""
    used = {
        BASELINE_CORPUS,
        *(EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS),
    }
    return [name for name in CORPORA if name in used]


def processed_datasets():
    """The datasets of these corpora, and those that are processed by the same jobs."""
    wanted = {name for corpus in used_corpora() for name in CORPORA[corpus]}
    chunks = [names for names in CHUNKS.values() if not wanted.isdisjoint(names)]
    return [name for names in chunks for name in names]


def incomplete_corpora():
    """The corpora that are needed and whose listings are not complete, with what is missing."""
    return {name: PARTIAL[name] for name in used_corpora() if name in PARTIAL}


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
CHUNKS = chunk_plan.plan_chunks(CORPORA, SCALE["chunks"])
LABEL_TABLES = label_tables()
ROLES = overlay.assign_datasets(SCALE["roles"], WORDS, where=config["scale"])
TRUTH_REGISTRY = str(Path(SCALE["registry"]).with_name(inventory.TRUTHS))
TRUTHS = truths.read_truths(TRUTH_REGISTRY)
CHECKSUMS = str(CONFIG / inventory.CHECKSUMS)
ORGANISMS = registry.read_organisms(registry_path("organisms.tsv", SCALE["organisms"]))
PROTEIN_MODELS = protein_models.read_protein_models(CONFIG / "protein_models.tsv")
SIMULATION = simulation_settings()
# Of the user's own, whose change makes again what was labelled by them.
ONTOLOGY_FILES = sorted(config["ontologies"].values())

EXPERIMENTS = resolve_variants()
VARIANTS = selected_variants()
TASKS = tasks.read_tasks(CONFIG, scale=config["scale"])["tasks"]
JOBS = tasks.list_jobs(CONFIG, scale=config["scale"], roles=ROLES)
BASELINES = selected_baselines()
# Rows that know nothing of the cells, with their kinds; the untrained model is one of them.
CONTROLS = {
    name: kind
    for name, kind in tasks.list_controls(CONFIG, scale=config["scale"]).items()
    if name in BASELINES
} | {
    name: "untrained"
    for name in VARIANTS
    if EXPERIMENTS[name]["training"]["epochs"] == 0
}
CARDS = overlay.read_yaml(CONFIG / "metrics.yaml")
BASELINE_CORPUS = EXPERIMENTS["base"]["data"]["corpus"]
CONTEXT_SWEEP = sweeps.read_sweep(CONFIG, "context", scale=config["scale"])
TEST_DATASETS = sorted(
    {job.dataset for job in JOBS}.union(ROLES[CONTEXT_SWEEP["role"]])
)
announce_downloads()

# Trainings of fewer epochs, `base-epochs_2`: their scores are those of base along its training. No rows of Table 1.
BUDGETS = tasks.list_budgets(
    {name: EXPERIMENTS[name] for name in VARIANTS},
    rows=config["curves"]["rows"],
    shares=config["curves"]["shares"],
)
EXPERIMENTS |= {name: budget.experiment for name, budget in BUDGETS.items()}

MODEL_ROWS = "|".join([*VARIANTS, *BUDGETS])
BASELINE_ROWS = "|".join(BASELINES) or NEVER
MERGED = config["scale"] if SCALE["merged"] else NEVER
SEPARATE = NEVER if SCALE["merged"] else config["scale"]


wildcard_constraints:
    scale=config["scale"],
    variant=f"{MODEL_ROWS}|{BASELINE_ROWS}",
    seed=r"\d+",
    task="|".join(TASKS),
    dataset=registry.NAME.pattern,  # not the names themselves: there may be 26,000
    chunk=r"\d+",
    truth=registry.TRUTH.pattern,
    organism="|".join(map(organism_name, ORGANISMS)),
    corpus="|".join(CORPORA),
