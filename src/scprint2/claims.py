"""The claims ledger: what the paper states in numbers, how each statement is tested here, and where that is possible."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import ConfigDict, Field, model_validator

from scprint2.config.node import Node
from scprint2.paper import CERTAIN, NOT_RUN, UNPRINTED
from scprint2.table_cells import BASE

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
        Columns of Table 1, `task/role/metric`, or `study/metric`.
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
        The row whose experiment is looked at, at the paper's scale; `scale` for the scale's own values, or `tasks`, `truths`,
        `roles` or `code` (`claims_sources`).
    values
        Path of each setting, such as `training.batch_size`, to what the paper says.
    """

    kind: Literal["setting"]
    of: Text
    values: dict[str, Any] = Field(min_length=1)


class Trend(Entry):
    """Accuracy at the most genes in context, less that at the fewest, for each of `labels` (the context sweep, figure 2d).

    Attributes
    ----------
    group
        `deep`, the cells that express so many genes, as in the paper, or `all` cells.
    lengths
        Fewest and most genes. Other scales than the paper's have others, and show what lies between theirs.
    """

    kind: Literal["trend"]
    row: Text
    labels: Names
    group: Literal["all", "deep"]
    lengths: Annotated[list[int], Field(min_length=2, max_length=2)]
    direction: Literal["above", "below"]
    agree: Literal["all", "most"]
    also_at: list[Literal["mini", "pocket"]]


class Count(Entry):
    """What was counted lies between two numbers. Counting again gives the same, so that there is no interval.

    Attributes
    ----------
    of
        `trainings` (a row's first seed), `draws` (the cells that it has seen), `truth_overlap`, `truths_as_published`, `datasets`
        or `listings`.
    values
        Path of each number, `row.quantity`, `first.second.column`, or `truth`, `dataset` or `listing` and quantity, to the least
        and the most that it may be.
    lacks
        What our numbers lack to be those that the paper means: they are shown, and no verdict rests on them.
    """

    kind: Literal["count"]
    of: Literal["trainings", "draws", "truth_overlap", "truths_as_published", "datasets", "listings"]
    values: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(min_length=1)
    lacks: str = ""


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
    test: Difference | Value | Setting | Trend | Count | Missing | Untestable = Field(discriminator="kind")
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
