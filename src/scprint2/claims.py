"""The claims ledger: what the paper states in numbers, how each statement is tested here, and where that is possible."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import ConfigDict, Field, ValidationError, model_validator

from scprint2.config.node import Node
from scprint2.config.overlay import PAPER_SCALE, SCALE, list_variants, read_paper_settings, read_yaml
from scprint2.config.tasks import list_baselines, read_tasks
from scprint2.paper import CERTAIN, NOT_RUN, UNPRINTED, read_paper
from scprint2.table_cells import BASE, COST

WITHIN_MARGIN = ("same", "not_above", "not_below")  # directions that need to know how little is nothing
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Direction = Literal["above", "below", "same", "not_above", "not_below"]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Text], Field(min_length=1)]


class Entry(Node):
    """One mapping of the ledger: types are not converted either, so that a number in quotation marks is an error."""

    model_config = ConfigDict(strict=True)


class Difference(Entry):
    """Each of `rows` against each of `against`, in each of `measures`: the difference of the means over seeds.

    Attributes
    ----------
    measures
        Columns of Table 1, or `task/role/metric`.
    direction
        What the paper says of the difference. `same`, `not_above` and `not_below` allow for the paper's printed spread of base.
    agree
        Whether the statement is about all of these differences, or most.
    also_at
        Scales beside the paper's at which the direction means something and is shown, without being evidence.
    """

    kind: Literal["difference"]
    rows: Names
    against: Names
    measures: Names
    direction: Direction
    agree: Literal["all", "most"]
    also_at: list[Literal["mini", "pocket"]]


class Value(Entry):
    """The mean over seeds of one row lies within `tolerance` of `value`; only the paper's scale can say so."""

    kind: Literal["value"]
    row: Text
    measure: Text
    value: float
    tolerance: float = Field(gt=0)


class Setting(Entry):
    """The workflow runs with the setting that the paper states; no finding, but what findings rest on.

    Attributes
    ----------
    of
        The row whose experiment is looked at, at the paper's scale, or `scale` for the scale's own values.
    values
        Path of each setting, such as `training.batch_size`, to what the paper says.
    """

    kind: Literal["setting"]
    of: Text
    values: dict[str, Any] = Field(min_length=1)


class Missing(Entry):
    """It could be tested, once something is here that is not."""

    kind: Literal["missing"]
    needs: Text


class Untestable(Entry):
    """No run of this workflow, at any scale, can tell."""

    kind: Literal["untestable"]
    why: Text


class Claim(Entry):
    """One statement of the paper.

    Attributes
    ----------
    place
        Section, figure, table or equation.
    quote
        The paper's words, with … where some are left out.
    numbers
        The numbers of the quotation that the claim is about; each must stand in it.
    printed
        Cells of the paper's Table 1 that it quotes, `row/column` to number.
    remark
        What a reader should know, such as a deviation or what the authors' own files say.
    """

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    section: Text
    place: Text
    quote: Text
    numbers: list[float] = Field(default_factory=list)
    printed: dict[str, float] = Field(default_factory=dict)
    test: Difference | Value | Setting | Missing | Untestable = Field(discriminator="kind")
    remark: str = ""

    @model_validator(mode="after")
    def _numbers_are_quoted(self) -> "Claim":
        quoted = {float(number) for number in NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3})", "", self.quote))}
        strange = [number for number in (*self.numbers, *self.printed.values()) if number not in quoted]
        if strange:
            raise ValueError(
                f"claim {self.id!r}: the numbers {strange} do not stand in its quotation: {sorted(quoted)}"
            )
        return self


class Ledger(Entry):
    """All claims, by section in the order of the paper."""

    sections: dict[str, str]
    claims: list[Claim]

    @model_validator(mode="after")
    def _names_fit(self) -> "Ledger":
        names = [claim.id for claim in self.claims]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the claims {twice} are there twice; give each an id of its own")
        unknown = sorted({claim.section for claim in self.claims} - set(self.sections))
        if unknown:
            raise ValueError(f"no sections {unknown}; known: {list(self.sections)}")
        return self


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


def find_setting(tree: Mapping[str, Any], path: str) -> Any:
    """The value at a path such as `training.batch_size`.

    Raises
    ------
    KeyError
        If there is none; it names the part that is missing.
    """
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(part)
        value = value[part]
    return value


def printed_cells(paper: pd.DataFrame) -> dict[str, float]:
    """The numbers of the paper's Table 1, `row/column` to value."""
    lines = zip(paper["variant"], paper["metric"], paper["value"], strict=True)
    return {f"{row}/{column}": float(value) for row, column, value in lines if value not in (UNPRINTED, NOT_RUN)}


def doubtful_cells(paper: pd.DataFrame) -> frozenset[str]:
    """The cells whose number may belong into another column, `row/column`."""
    doubtful = paper[(paper["value"] != UNPRINTED) & ~paper["certainty"].isin(CERTAIN)]
    return frozenset(f"{row}/{column}" for row, column in zip(doubtful["variant"], doubtful["metric"], strict=True))


def printed_spread(paper: pd.DataFrame) -> dict[str, float]:
    """The spread over seeds that the paper prints for base, by column."""
    base = paper[(paper["variant"] == BASE) & (paper["spread"] != "")]
    return dict(zip(base["metric"], base["spread"].astype(float), strict=True))


def unknown_rows(ledger: Ledger, *, config: Path) -> list[str]:
    """Rows that a claim names and that are neither a variant nor a baseline of the configuration.

    Reading a ledger allows them: a project may leave out a baseline, whose claims are then not tested.
    """
    known = {*list_variants(config), *list_baselines(config, scale=PAPER_SCALE)}
    named: set[str] = set()
    for test in (claim.test for claim in ledger.claims):
        if isinstance(test, Difference):
            named |= {*test.rows, *test.against}
        elif isinstance(test, Value):
            named.add(test.row)
    return sorted(named - known)


class _Measures:
    """The columns of Table 1, and every metric of every role."""

    def __init__(self, config: Path) -> None:
        gymnasium, cards = read_tasks(config, scale=PAPER_SCALE), read_yaml(config / "metrics.yaml")
        tasks = gymnasium["tasks"]
        self.columns = {COST, *gymnasium["columns"]}
        self.others = {
            f"{task}/{role}/{metric}" for task in tasks for role in tasks[task]["roles"] for metric in cards[task]
        }

    def faults(self, claim: Claim) -> Iterator[str]:
        """Measures that are not in the configuration."""
        test = claim.test
        measures = test.measures if isinstance(test, Difference) else [test.measure] if isinstance(test, Value) else []
        unknown = sorted(set(measures) - self.columns - self.others)
        if unknown:
            yield (
                f"no measures {unknown}; known are the columns {sorted(self.columns)} and task/role/metric, "
                "such as embed/lung/scib_bio"
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
    """The experiments at the paper's scale."""

    def __init__(self, config: Path) -> None:
        self.config, self.known = config, {SCALE, *list_variants(config)}

    def faults(self, claim: Claim) -> Iterator[str]:
        """Settings that are not there."""
        test = claim.test
        if not isinstance(test, Setting):
            return
        if test.of not in self.known:
            yield f"no row {test.of!r} to look for settings in; known: {sorted(self.known)}"
            return
        tree = read_paper_settings(self.config, test.of)
        for path in test.values:
            try:
                find_setting(tree, path)
            except KeyError as error:
                yield f"{test.of} has no setting {path!r}: {error} is not there"


def _checks(config: Path) -> list[Any]:
    return [part(config).faults for part in (_Measures, _Printed, _Settings)]
