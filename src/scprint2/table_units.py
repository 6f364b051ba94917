"""What a cell of Table 1 rests on beside its seeds: its datasets, or the donors of their cells, and intervals from these."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scprint2.stats import LEAST_UNITS, Interval, bootstrap_interval
from scprint2.table_cells import Column, Records, Row, has_value
from scprint2.tasks.layout import DONOR_PART

DRAWS = 2000
SEED = 0  # every cell draws the same numbers, so that a table written twice is the same


@dataclass(frozen=True)
class Units:
    """The values of a cell by unit, each the mean over seeds.

    Attributes
    ----------
    groups
        Units are drawn anew inside a group: all datasets are one group, the donors of each dataset are one.
    """

    kind: Literal["dataset", "donor"]
    groups: Mapping[str, Mapping[str, float]]

    @property
    def number(self) -> int:
        """How many units there are."""
        return sum(map(len, self.groups.values()))

    def minus(self, other: "Units") -> "Units":
        """The differences over the units that both have."""
        groups = {
            name: {
                unit: value - other.groups[name][unit] for unit, value in units.items() if unit in other.groups[name]
            }
            for name, units in self.groups.items()
            if name in other.groups
        }
        return Units(self.kind, groups)

    def interval(self) -> Interval | None:
        """Where the mean lies for other units of the kind; None where a group has too few to say."""
        values = [np.array(list(units.values())) for units in self.groups.values()]
        if not values or min(map(len, values)) < LEAST_UNITS:
            return None
        return bootstrap_interval(*values, rng=np.random.default_rng(SEED), draws=DRAWS)


def collect_units(
    rows: Sequence[Row], columns: Mapping[str, Column], *, scores: Records
) -> dict[tuple[str, str], Units]:
    """Find the units of each (variant, column).

    They are the datasets where the column is a mean over at least three, else the donors of its datasets. A column of few
    datasets whose donors are not known, or whose metric is of all cells together, has none.
    """
    wanted = {(column.task, dataset, column.metric) for column in columns.values() for dataset in column.datasets}
    values: dict[tuple[str, str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (variant, _, task, dataset, metric), score in scores.items():
        name, _, donor = metric.partition(DONOR_PART)
        if (task, dataset, name) in wanted and has_value(score):
            values[variant, task, dataset, name][donor].append(float(score["value"]))
    found = {}
    for row in rows:
        for name, column in columns.items():
            own = {
                dataset: values.get((row.variant, column.task, dataset, column.metric), {})
                for dataset in column.datasets
            }
            means = {
                dataset: {unit: float(np.mean(seen)) for unit, seen in units.items()} for dataset, units in own.items()
            }
            found[row.variant, name] = _choose(means)
    return found


def _choose(means: Mapping[str, Mapping[str, float]]) -> Units:
    """Datasets if they are enough, else donors; the value of all cells has the name of no donor."""
    if len(means) >= LEAST_UNITS:
        return Units("dataset", {"": {dataset: units[""] for dataset, units in means.items() if "" in units}})
    donors = {dataset: {unit: value for unit, value in units.items() if unit} for dataset, units in means.items()}
    return Units("donor", donors)
