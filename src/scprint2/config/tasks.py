"""The gymnasium as plain dictionaries: `tasks.yaml` with a scale's constants filled in. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scprint2.config.overlay import fill, read_scale, read_yaml

TASK_KEYS = {"title", "notebook", "roles", "settings", "baselines"}
COLUMN_KEYS = {"task", "role", "metric"}
CONTROLS = ("random", "shuffled")  # kinds of controls among the baselines; the third kind is the untrained model


@dataclass(frozen=True)
class Job:
    """One prediction to make: a task on a dataset, with every setting by value.

    Attributes
    ----------
    role
        The role that the dataset plays in the task, such as `lung`.
    settings
        Settings of the task with those of the role laid over them.
    """

    task: str
    role: str
    dataset: str
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Budget:
    """A row trained for fewer epochs: where its training stood then, since all else is the same.

    Attributes
    ----------
    experiment
        The resolved experiment of the row with so many epochs.
    """

    variant: str
    epochs: int
    experiment: Mapping[str, Any]


def list_budgets(
    experiments: Mapping[str, Mapping[str, Any]], *, rows: Sequence[str], shares: Sequence[float]
) -> dict[str, Budget]:
    """Return the trainings of fewer epochs by their names, such as `base-epochs_2`.

    Parameters
    ----------
    experiments
        The resolved experiments of the chosen rows.
    rows
        Rows to follow along their training; where none of them is chosen, the first one that is trained.
    shares
        Of each row's epochs; rounded to whole epochs, at least one and fewer than all.
    """
    trained = [name for name, experiment in experiments.items() if experiment["training"]["epochs"] > 1]
    followed = [name for name in trained if name in rows] or trained[:1]
    budgets = {}
    for name in followed:
        training = experiments[name]["training"]
        for share in shares:
            epochs = min(max(1, round(share * training["epochs"])), training["epochs"] - 1)
            experiment = {**experiments[name], "training": {**training, "epochs": epochs}}
            budgets[f"{name}-epochs_{epochs}"] = Budget(name, epochs, experiment)
    return budgets


def read_tasks(config: Path, *, scale: str) -> dict[str, Any]:
    """Read `<config>/tasks.yaml` with the constants of a scale filled in: `tasks` and `columns`.

    Raises
    ------
    ValueError
        If a key is not allowed, a constant or a role is missing, a baseline's name is taken, or a column names what is not there.
    """
    path = Path(config) / "tasks.yaml"
    value, size = read_yaml(path), read_scale(Path(config), scale)
    if set(value) != {"tasks", "columns"}:
        raise ValueError(f"{path}: expected the keys ['columns', 'tasks'], found {sorted(value)}")
    owners: dict[str, str] = {}
    for name, task in value["tasks"].items():
        if set(task) != TASK_KEYS:
            raise ValueError(f"{path}: task {name!r} has the keys {sorted(task)}; expected {sorted(TASK_KEYS)}")
        for role in task["roles"]:
            if role not in size["roles"]:
                raise ValueError(f"scale {scale!r} names no datasets for the role {role!r}; add it to its `roles`")
        for baseline, entry in task["baselines"].items():
            _check_control(baseline, entry, where=path)
            if owners.setdefault(baseline, name) != name:
                raise ValueError(
                    f"{path}: baseline {baseline!r} is in {owners[baseline]!r} and in {name!r}; rename one"
                )
    for column, source in value["columns"].items():
        roles = value["tasks"].get(source.get("task"), {}).get("roles", {})
        if set(source) != COLUMN_KEYS or source["role"] not in roles:
            raise ValueError(
                f"{path}: column {column!r} must name a task, one of its roles and a metric; found {source}"
            )
    return fill(value, size["constants"], where=f"{path} at scale {scale}")


def _check_control(baseline: str, entry: Mapping[str, Any], *, where: Path) -> None:
    if entry.get("control", CONTROLS[0]) not in CONTROLS:
        raise ValueError(
            f"{where}: baseline {baseline!r} is the control {entry['control']!r}; known: {CONTROLS}. Leave `control` out where "
            "it is none"
        )


def list_baselines(config: Path, *, scale: str) -> dict[str, tuple[str, str]]:
    """Return each baseline's (task, title)."""
    tasks = read_tasks(config, scale=scale)["tasks"]
    return {name: (task, entry["title"]) for task in tasks for name, entry in tasks[task]["baselines"].items()}


def list_controls(config: Path, *, scale: str) -> dict[str, str]:
    """Return each control among the baselines with its kind: `random` or `shuffled`."""
    tasks = read_tasks(config, scale=scale)["tasks"].values()
    entries = {name: entry for task in tasks for name, entry in task["baselines"].items()}
    return {name: entry["control"] for name, entry in entries.items() if "control" in entry}


def list_jobs(
    config: Path, *, scale: str, roles: Mapping[str, list[str]] | None = None, task: str | None = None
) -> list[Job]:
    """List every prediction that a model makes at a scale (or those of one task, which its baselines make too).

    `roles` says which datasets play each role; by default the scale's own lists.

    Raises
    ------
    ValueError
        If a dataset plays two roles of one task with different settings: both would be written to one file.
    """
    tasks = read_tasks(config, scale=scale)["tasks"]
    players: Mapping[str, list[str]] = read_scale(Path(config), scale)["roles"] if roles is None else roles
    jobs: dict[tuple[str, str], Job] = {}
    for job in _jobs(tasks, players):
        other = jobs.setdefault((job.task, job.dataset), job)
        if other.settings != job.settings:
            raise ValueError(
                f"dataset {job.dataset!r} plays {other.role!r} and {job.role!r} in the task {job.task!r}, whose settings differ; "
                "give one of the roles another dataset"
            )
    return [job for job in jobs.values() if task in (None, job.task)]


def _jobs(tasks: Mapping[str, Any], roles: Mapping[str, list[str]]) -> Iterator[Job]:
    for name, task in tasks.items():
        for role, own in task["roles"].items():
            for dataset in roles[role]:
                yield Job(task=name, role=role, dataset=dataset, settings={**task["settings"], **own})
