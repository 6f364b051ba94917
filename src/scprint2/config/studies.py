"""Studies: a task asked again with other settings or on other datasets, for rows of one's choice. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scprint2.config.overlay import fill, read_scale, read_yaml
from scprint2.config.tasks import Job

KEYS = {"title", "task", "roles", "settings", "baselines", "report", "shows"}


@dataclass(frozen=True)
class Study:
    """One entry of `studies.yaml`.

    Attributes
    ----------
    roles
        Roles of the scale, or words in the column `roles` of its registry.
    settings
        What differs from the settings of the task and the role.
    baselines
        Whether the baselines of the task are run too.
    report, shows
        Rows that the report shows, those of them that are run, and which metrics of them.
    """

    title: str
    task: str
    roles: tuple[str, ...]
    settings: Mapping[str, Any]
    baselines: Literal["all", "none"]
    report: tuple[str, ...]
    shows: tuple[str, ...]


def read_studies(config: Path, *, scale: str, tasks: Mapping[str, Any]) -> dict[str, Study]:
    """Read `<config>/studies.yaml` with the constants of a scale filled in.

    `tasks` is what `read_tasks` returns.

    Raises
    ------
    ValueError
        If a key, a task or a setting is unknown, or a constant is missing.
    """
    path = Path(config) / "studies.yaml"
    value = fill(read_yaml(path), read_scale(Path(config), scale)["constants"], where=f"{path} at scale {scale}")
    return {
        name: _study(entry, tasks=tasks, where=f"{path}, study {name!r}") for name, entry in value["studies"].items()
    }


def _study(entry: Mapping[str, Any], *, tasks: Mapping[str, Any], where: str) -> Study:
    if set(entry) != KEYS:
        raise ValueError(f"{where} has the keys {sorted(entry)}; expected {sorted(KEYS)}")
    if entry["task"] not in tasks:
        raise ValueError(f"{where}: no task {entry['task']!r}; known: {sorted(tasks)}")
    known = tasks[entry["task"]]["settings"]
    if unknown := sorted(set(entry["settings"]) - set(known)):
        raise ValueError(f"{where}: task {entry['task']!r} has no settings {unknown}; known: {sorted(known)}")
    if entry["baselines"] not in ("all", "none"):
        raise ValueError(f"{where}: baselines is {entry['baselines']!r}; allowed: all, none")
    return Study(**{**entry, **{name: tuple(entry[name]) for name in ("roles", "report", "shows")}})


def list_study_jobs(
    study: Study, *, tasks: Mapping[str, Any], roles: Mapping[str, list[str]], words: Mapping[str, Sequence[str]]
) -> list[Job]:
    """List the predictions of a study, one per dataset; none where the scale has no dataset for it.

    Parameters
    ----------
    roles
        Role of the scale to its datasets.
    words
        Dataset to the words in its column `roles`, for roles that the scale does not list.
    """
    task = tasks[study.task]
    jobs: dict[str, Job] = {}
    for role in study.roles:
        named = [dataset for dataset, own in words.items() if role in own]
        settings = {**task["settings"], **task["roles"].get(role, {}), **study.settings}
        for dataset in roles.get(role, named):
            jobs.setdefault(dataset, Job(task=study.task, role=role, dataset=dataset, settings=settings))
    return list(jobs.values())
