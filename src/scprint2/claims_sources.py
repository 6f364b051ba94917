"""What the tests of claims look at beside Table 1, by name. Imports neither torch nor pandas: the workflow plans with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scprint2.config.overlay import PAPER_SCALE, assign_datasets, read_scale, resolve
from scprint2.config.tasks import read_tasks
from scprint2.data import inventory
from scprint2.data.registry import read_registry
from scprint2.data.truths import read_truths

# In place of a row: the values of the scale itself, those of tasks, ...
SCALE, TASKS, TRUTHS, ROLES, CODE = "scale", "tasks", "truths", "roles", "code"
OVERLAP, TRAININGS, DATASETS, SWEEP = "truth_overlap", "trainings", "datasets", "context_sweep"
DRAWS, PUBLISHED, LISTINGS = "draws", "truths_as_published", "listings"
OF_ROWS = (TRAININGS, DRAWS)  # counted in a row's training
STUDY = "study "  # before the name of a study


def read_paper_settings(config: Path, name: str) -> dict[str, Any]:
    """What a claim of the kind `setting` looks at, at the paper's scale.

    A row's experiment by its name; else `scale` (the scale's own values), `tasks` (settings by task), `truths` (the cutoff of
    each known network), `roles` (how many datasets play each). `code` does not stand in the configuration (`read_constants`).
    """
    scale = read_scale(config, PAPER_SCALE)
    if name == SCALE:
        return scale
    if name == TASKS:
        return {task: entry["settings"] for task, entry in read_tasks(config, scale=PAPER_SCALE)["tasks"].items()}
    registry = config.parent / scale["registry"]
    if name == TRUTHS:
        sources = read_truths(registry.with_name(inventory.TRUTHS))
        return {truth: {"cutoff": source.cutoff} for truth, source in sources.items()}
    if name == ROLES:
        words = {dataset: row.roles for dataset, row in read_registry(registry).items()}
        assigned = assign_datasets(scale["roles"], words, where=PAPER_SCALE)
        return {role: len(datasets) for role, datasets in assigned.items()}
    return resolve(config, scale=PAPER_SCALE, variant=name)


def study_of(measure: str) -> str:
    """The study in a measure such as `open_problems/scib_total`; empty for a column of Table 1, or `task/role/metric`."""
    study, *metric = measure.split("/")
    return study if len(metric) == 1 else ""


def further_sources(test: Mapping[str, Any]) -> list[str]:
    """What a test reads that no part of Table 1 makes: `context_sweep`, `draws`, `datasets` and so on, or `study NAME`."""
    match test["kind"]:
        case "difference" | "value":
            studies = map(study_of, test["measures"] if "measures" in test else [test["measure"]])
            return [STUDY + study for study in dict.fromkeys(studies) if study]
        case "trend":
            return [SWEEP]
        case "count" if test["of"] not in (TRAININGS, LISTINGS):
            return [test["of"]]
    return []


def named_rows(test: Mapping[str, Any]) -> list[str]:
    """The variants and baselines whose scores or trainings a test reads."""
    match test["kind"]:
        case "difference":
            return [*test["rows"], *test["against"]]
        case "value" | "trend":
            return [test["row"]]
        case "count" if test["of"] in OF_ROWS:
            return [path.split(".")[0] for path in test["values"]]
    return []
