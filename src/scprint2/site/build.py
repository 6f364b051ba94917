"""Put the site together from what a run has made."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from scprint2.costs import BY_ROW, BY_STUDY, read_costs, sum_costs
from scprint2.equal_budget import read_equal_budget
from scprint2.pages import Link, Page
from scprint2.site.beyond import FIGURES, StudyScores, lay_out_study
from scprint2.site.controls import make_controls_page
from scprint2.site.curves import lay_out_equal_budget
from scprint2.site.frame import PAGES, put_page
from scprint2.site.ledger import FOLDER as DATA
from scprint2.site.ledger import make_data_page
from scprint2.site.rows import (
    NOTEBOOKS,
    Notebooks,
    lay_out_costs,
    lay_out_study_costs,
    make_row_page,
    row_page_place,
)
from scprint2.site.software import make_software_page
from scprint2.table import Table1, lay_out_table1
from scprint2.table_page import WORTH, render_html

FILES = "files"  # tables and figures to take along
MEANINGS: Mapping[str, str] = {
    "table1.html": "every row in every column, with spread and verdict; a heading sorts, a cell leads to the scores behind it",
    "effects.html": "what every row changes against its reference, as a heat map",
    "curves.html": "scores of some rows along their training and at an equal budget of it, and the losses of every training",
    "controls.html": "what an untrained model, chance and simple methods reach",
    "beyond.html": "genes in context, each known network, tasks asked again with other settings",
    "paper.html": "the direction of every effect beside the paper's Table 1",
    "claims.html": "what the paper states, and what this run has in its place",
    "data.html": "datasets with checksums and licences, corpora, and what they share with test sets",
    "costs.html": "seconds, energy, memory and cells of every row and every study, and scores against cost",
    "metrics.html": "what each metric means, and what raises it without merit",
    "software.html": "versions that made the numbers",
}


@dataclass(frozen=True)
class Sources:
    """What the site is made from.

    Attributes
    ----------
    changes
        Variant to the settings in which it differs from its reference.
    costs, study_costs
        What the jobs behind Table 1 cost, and those of all else that is shown.
    equal_budget
        Scores at an equal budget of training.
    figures
        Folder of `heat_map.png` and the others, each with `.pdf` and `.csv`.
    further
        Names of those that are no part of Table 1, of `beyond.FIGURES`.
    studies
        Tasks that were asked again with other settings.
    notebooks, data_pages
        Pages by their place under `reports`, the folder that holds them.
    comparison, claims, metrics
        Pages that are made without the site.
    tables
        CSV files to take along.
    datasets, corpora, leakage
        As `make_data_page` takes them.
    """

    table: Table1
    changes: Mapping[str, Mapping[str, Any]]
    costs: Path
    study_costs: Path
    equal_budget: Path
    figures: Path
    further: Sequence[str]
    studies: Sequence[StudyScores]
    reports: Path
    notebooks: Sequence[str]
    data_pages: Sequence[str]
    comparison: Path
    claims: Path
    metrics: Path
    tables: Sequence[Path]
    datasets: Sequence[Mapping[str, Any]]
    corpora: Mapping[str, Sequence[str]]
    leakage: Mapping[str, Path]
    lock: Path
    models: Sequence[Path]


def build_site(sources: Sources, target: Path) -> None:
    """Write the site to a folder, whole or not at all."""
    with replaced_folder(target) as site:
        for source in sources.tables:
            _take_along(source, site)
        pages: Mapping[str, Callable[[Sources, Path], str]] = {
            "index.html": _overview,
            "table1.html": _table1,
            "effects.html": _effects,
            "curves.html": _curves,
            "controls.html": lambda sources, site: make_controls_page(sources.table).render(),
            "beyond.html": _beyond,
            "paper.html": lambda sources, site: sources.comparison.read_text(),
            "claims.html": lambda sources, site: sources.claims.read_text(),
            "data.html": _data,
            "costs.html": _costs,
            "metrics.html": lambda sources, site: sources.metrics.read_text(),
            "software.html": _software,
        }
        assert pages.keys() == PAGES.keys()
        for place, make in pages.items():
            put_page(site, place, make(sources, site))
        for folder, places in ((NOTEBOOKS, sources.notebooks), (DATA, sources.data_pages)):
            for place in places:
                put_page(site, f"{folder}/{place}", (sources.reports / place).read_text())
        costs, notebooks = read_costs(sources.costs), Notebooks.among(sources.notebooks)
        for row in sources.table.rows:
            changes = sources.changes.get(row.variant, {})
            page = make_row_page(row, sources.table, changes=changes, costs=costs, notebooks=notebooks)
            put_page(site, row_page_place(row.variant), page.render())


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".tmp-", dir=target.parent) as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)


def _take_along(source: Path, site: Path) -> str:
    """Copy a file into the site and return its place."""
    (site / FILES).mkdir(exist_ok=True)
    shutil.copyfile(source, site / FILES / source.name)
    return f"{FILES}/{source.name}"


def _overview(sources: Sources, site: Path) -> str:
    table = sources.table
    trained = [row for row in table.rows if row.tasks is None]
    page = Page(
        "The scPRINT-2 benchmark",
        f"scale {table.scale} · {len(trained)} rows of models, {len(sources.models)} with all seeds, on "
        f"{' and '.join(table.devices) or 'no device'} · {len(table.rows) - len(trained)} baselines and controls",
    )
    page.text(WORTH.get(table.scale, "A test of the workflow; its numbers mean nothing."), style="worth")
    page.heading("What is here")
    lines = [(Link(PAGES[place], place), meaning) for place, meaning in MEANINGS.items()]
    page.table(pd.DataFrame(lines, columns=pd.Index(["page", "content"])), name="pages", style="")
    page.heading("What every row changes")
    page.image(sources.figures / "heat_map.png", alternative="heat map of effects; the page Effects has its numbers")
    page.heading("Tables to take along")
    page.links("", [Link(source.name, f"{FILES}/{source.name}") for source in sources.tables])
    return page.render()


def _table1(sources: Sources, site: Path) -> str:
    pages = {row.variant: row_page_place(row.variant) for row in sources.table.rows}
    return render_html(lay_out_table1(sources.table, pages=pages))


def _add_figure(page: Page, sources: Sources, site: Path, *, name: str, alternative: str) -> None:
    """Add a figure with its files and the notebook that drew it."""
    page.image(sources.figures / f"{name}.png", alternative=alternative)
    links = [Link(ending, _take_along(sources.figures / f"{name}.{ending}", site)) for ending in ("pdf", "png", "csv")]
    notebook = f"figures/{name}.html"
    if notebook in sources.notebooks:
        links.append(Link("notebook", f"{NOTEBOOKS}/{notebook}"))
    page.links("The figure as", links)


def _effects(sources: Sources, site: Path) -> str:
    page = Page("Effects", "every trained row against its own reference, in each column of Table 1")
    _add_figure(page, sources, site, name="heat_map", alternative="heat map: rows against columns of Table 1")
    page.heading("Outside the interval of the reference", anchor="outside")
    drawn = pd.read_csv(sources.figures / "heat_map.csv", keep_default_na=False, na_values={"effect": [""]})
    outside = drawn.loc[drawn["state"].isin(["better", "worse"])].sort_values(
        "effect", key=abs, ascending=False, kind="stable"
    )
    if outside.empty:
        page.text("No row lies outside.")
        return page.render()
    lines = pd.DataFrame(
        {
            "row": [
                Link(name, row_page_place(row)) for name, row in zip(outside["name"], outside["variant"], strict=True)
            ],
            "against": outside["reference"].tolist(),
            "column": outside["column"].tolist(),
            "seeds": outside["seeds"].tolist(),
            "difference": outside["difference"].astype(float).tolist(),
            "in standard deviations": outside["effect"].tolist(),
            "state": outside["state"].tolist(),
        }
    )
    page.table(lines, name="effects outside the interval")
    return page.render()


def _curves(sources: Sources, site: Path) -> str:
    page = Page("Curves", "how trainings went, and what more training brings")
    page.heading("Scores along training", anchor="scores")
    page.text(
        "Each point is a training of its own that was stopped earlier. A training of fewer epochs takes the same steps as the "
        "first epochs of a longer one with its seed, so the points of a seed lie on one training."
    )
    _add_figure(page, sources, site, name="score_curves", alternative="scores against steps and seconds of training")
    page.heading("Scores at an equal budget", anchor="budget")
    page.text(
        "Each column at the largest number of cells seen, and of seconds of training and validation, that all these rows reach: "
        "read at a measured point, or on the straight line between two, never beyond. Seconds are those of the machine."
    )
    page.table(lay_out_equal_budget(read_equal_budget(sources.equal_budget)), name="scores at an equal budget")
    page.heading("Losses", anchor="losses")
    _add_figure(page, sources, site, name="learning_curves", alternative="validation losses of every training")
    return page.render()


def _beyond(sources: Sources, site: Path) -> str:
    page = Page("Beside Table 1", "what the tasks tell when they are asked otherwise")
    for name, (heading, alternative) in FIGURES.items():
        if name in sources.further:
            page.heading(heading, anchor=name)
            _add_figure(page, sources, site, name=name, alternative=alternative)
    for study in sources.studies:
        page.heading(study.title)
        page.table(lay_out_study(study.read(), sources.table.long, metrics=study.metrics), name=study.title)
        page.links("Notebooks:", [Link(place, f"{NOTEBOOKS}/{place}") for place in study.notebooks])
    if not sources.further and not sources.studies:
        page.text("This run has nothing of the kind.")
    return page.render()


def _data(sources: Sources, site: Path) -> str:
    pages = {}
    for place in sources.data_pages:
        kind, *_, name = Path(place).with_suffix("").parts
        if kind != "chunks":
            pages[name if kind == "datasets" else f"corpus {name}"] = f"{DATA}/{place}"
    return make_data_page(
        sources.datasets, corpora=sources.corpora, leakage=sources.leakage, pages=pages, scale=sources.table.scale
    ).render()


def _costs(sources: Sources, site: Path) -> str:
    costs = read_costs(sources.costs)
    page = Page("Costs", f"scale {sources.table.scale}: training, prediction and evaluation of every row")
    page.heading("Scores against cost", anchor="pareto")
    _add_figure(page, sources, site, name="pareto", alternative="scores against seconds, a panel per column of Table 1")
    page.heading("By row", anchor="rows")
    page.text(
        "Seconds by the clock; CPU seconds of all cores; GPU seconds while a GPU was held; energy of the whole GPU. "
        "Memory is the most that a job held, with its children. Cells of a training are those of its steps, repeats counted."
    )
    page.text(f"Energy: {'; '.join(sorted(set(costs['energy_source'])))}.", style="soft")
    sums = sum_costs(costs, by=BY_ROW)
    lines = lay_out_costs(sums).drop(columns="section")
    links = zip(sums["name"], sums["variant"], strict=True)
    lines["row"] = [Link(name, row_page_place(variant)) for name, variant in links]
    page.table(lines, name="costs by row")
    beside = sum_costs(read_costs(sources.study_costs), by=BY_STUDY)
    page.heading("Beside Table 1", anchor="studies")
    page.text(
        "The shorter trainings behind the score curves, the context sweep, and tasks asked again with other settings or on other "
        "datasets. What they take over from Table 1, such as whole trainings, is counted there."
    )
    page.table(lay_out_study_costs(beside), name="costs of studies")
    return page.render()


def _software(sources: Sources, site: Path) -> str:
    return make_software_page(sources.table.long, sources.lock, list(sources.models)).render()
