"""Reading the claims ledger, and holding what it names against the configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scprint2.claims import (
    Claim,
    Count,
    Difference,
    Ledger,
    Setting,
    Trend,
    Value,
    doubtful_cells,
    find_setting,
    printed_cells,
    printed_spread,
)
from scprint2.claims_further import QUANTITIES, read_constants
from scprint2.claims_sources import (
    CODE,
    DATASETS,
    DRAWS,
    LISTINGS,
    OVERLAP,
    PUBLISHED,
    ROLES,
    SCALE,
    TASKS,
    TRAININGS,
    TRUTHS,
    named_rows,
    read_paper_settings,
)
from scprint2.config.overlay import PAPER_SCALE, list_variants, read_scale, read_yaml
from scprint2.config.studies import read_studies
from scprint2.config.sweeps import read_sweep
from scprint2.config.tasks import list_baselines, read_tasks
from scprint2.data.inventory import MANIFESTS
from scprint2.data.registry import read_registry
from scprint2.paper import read_paper
from scprint2.table_cells import COST

WITHIN_MARGIN = ("same", "not_above", "not_below")  # directions that need to know how little is nothing


def read_ledger(config: str | Path) -> Ledger:
    """Read `<config>/paper/claims.yaml` and hold its measures, settings and numbers of Table 1 against the configuration.

    Raises
    ------
    ValueError
        If the form is wrong, a measure or setting is not there, or a number of Table 1 is not the printed one.
    """
    config = Path(config)
    path = config / "paper" / "claims.yaml"
    try:
        ledger = Ledger.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {error}") from error
    faults = [
        f"claim {claim.id!r}: {fault}" for check in _checks(config) for claim in ledger.claims for fault in check(claim)
    ]
    if faults:
        raise ValueError(f"{path}: " + "\n".join(faults))
    return ledger


def unknown_rows(ledger: Ledger, *, config: Path) -> list[str]:
    """Rows that a claim names and that are neither a variant nor a baseline of the configuration.

    Reading a ledger allows them: a project may leave out a baseline, whose claims are then not tested.
    """
    known = {*list_variants(config), *list_baselines(config, scale=PAPER_SCALE)}
    named = {row for claim in ledger.claims for row in named_rows(claim.test.model_dump())}
    return sorted(named - known)


class _Measures:
    """The columns of Table 1, and every metric of every role and of every study."""

    def __init__(self, config: Path) -> None:
        gymnasium, cards = read_tasks(config, scale=PAPER_SCALE), read_yaml(config / "metrics.yaml")
        tasks = gymnasium["tasks"]
        self.columns = {COST, *gymnasium["columns"]}
        self.others = {
            f"{task}/{role}/{metric}" for task in tasks for role in tasks[task]["roles"] for metric in cards[task]
        }
        for name, study in read_studies(config, scale=PAPER_SCALE, tasks=tasks).items():
            self.others |= {f"{name}/{metric}" for metric in cards[study.task]}

    def faults(self, claim: Claim) -> Iterator[str]:
        """Measures that are not in the configuration."""
        test = claim.test
        measures = test.measures if isinstance(test, Difference) else [test.measure] if isinstance(test, Value) else []
        unknown = sorted(set(measures) - self.columns - self.others)
        if unknown:
            yield (
                f"no measures {unknown}; known are the columns {sorted(self.columns)}, task/role/metric, "
                "such as embed/lung/scib_bio, and study/metric, such as open_problems/scib_total"
            )


class _Printed:
    """The paper's Table 1."""

    def __init__(self, config: Path) -> None:
        paper = read_paper(config / "paper" / "table1.csv")
        self.cells, self.spread, self.doubtful = printed_cells(paper), printed_spread(paper), doubtful_cells(paper)

    def faults(self, claim: Claim) -> Iterator[str]:
        """Numbers that are not the printed ones, and margins that the paper does not give."""
        test = claim.test
        quoted = dict(claim.printed)
        if isinstance(test, Value):
            quoted[f"{test.row}/{test.measure}"] = test.value
        for cell, number in quoted.items():
            if self.cells.get(cell) != number:
                yield f"it says {number} for {cell}, config/paper/table1.csv says {self.cells.get(cell, 'nothing')}"
            if cell in self.doubtful:
                yield f"it is not sure that {number} belongs into {cell}, so no claim can rest on it"
        if isinstance(test, Difference) and test.direction in WITHIN_MARGIN:
            without = sorted(set(test.measures) - set(self.spread))
            if without:
                yield f"{test.direction!r} needs the paper's spread of base, and {without} have none"


class _Settings:
    """The experiments at the paper's scale, and what else stands in the configuration and the code."""

    def __init__(self, config: Path) -> None:
        self.config, self.known = config, {SCALE, TASKS, TRUTHS, ROLES, CODE, *list_variants(config)}

    def faults(self, claim: Claim) -> Iterator[str]:
        """Settings that are not there."""
        test = claim.test
        if not isinstance(test, Setting):
            return
        if test.of not in self.known:
            yield f"no row {test.of!r} to look for settings in; known: {sorted(self.known)}"
            return
        tree = read_constants() if test.of == CODE else read_paper_settings(self.config, test.of)
        for path in test.values:
            try:
                find_setting(tree, path)
            except KeyError as error:
                yield f"{test.of} has no setting {path!r}: {error} is not there"


class _Sweep:
    """The context sweep at the paper's scale."""

    def __init__(self, config: Path) -> None:
        self.config, self.sweep = config, read_sweep(config, "context", scale=PAPER_SCALE)

    def faults(self, claim: Claim) -> Iterator[str]:
        """Rows, labels and numbers of genes that it does not have."""
        test = claim.test
        if not isinstance(test, Trend):
            return
        if test.row not in self.sweep["variants"]:
            yield f"the context sweep has no row {test.row!r}; it has {self.sweep['variants']} (config/sweeps.yaml)"
            return
        known = {
            "labels": (test.labels, read_paper_settings(self.config, test.row)["data"]["classes"]),
            "lengths": (test.lengths, self.sweep["settings"]["lengths"]),
        }
        for what, (named, there) in known.items():
            if unknown := [name for name in named if name not in there]:
                yield f"the context sweep has no {what} {unknown} for {test.row}; it has {there}"


class _Counts:
    """What is counted in trainings, known networks, datasets and listings."""

    def __init__(self, config: Path) -> None:
        networks = read_paper_settings(config, TRUTHS)
        self.known = {
            TRAININGS: (list_variants(config), QUANTITIES[TRAININGS]),
            DRAWS: (list_variants(config), QUANTITIES[DRAWS]),
            OVERLAP: (networks, networks, QUANTITIES[OVERLAP]),
            PUBLISHED: (networks, QUANTITIES[PUBLISHED]),
            DATASETS: (
                read_registry(config.parent / read_scale(config, PAPER_SCALE)["registry"]),
                QUANTITIES[DATASETS],
            ),
            LISTINGS: ([path.stem for path in (config / MANIFESTS).glob("*.tsv")], QUANTITIES[LISTINGS]),
        }

    def faults(self, claim: Claim) -> Iterator[str]:
        """Paths that lead nowhere."""
        test = claim.test
        if not isinstance(test, Count):
            return
        for path in test.values:
            parts, known = path.split("."), self.known[test.of]
            if len(parts) != len(known):
                yield f"{path!r} has {len(parts)} parts; a path in {test.of} has {len(known)}"
                continue
            for part, names in zip(parts, known, strict=True):
                if part not in names:
                    yield f"{path!r}: no {part!r} in {test.of}; known: {sorted(names)}"


def _checks(config: Path) -> list[Any]:
    return [part(config).faults for part in (_Measures, _Printed, _Settings, _Sweep, _Counts)]
