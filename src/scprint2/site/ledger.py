"""The ledger of the data: every dataset with where it comes from, who may use it, and what corpora share with test sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scprint2.data.leakage import ALIKE, CLEAN, LEAKS, STUDY
from scprint2.pages import Link, Page

FOLDER = "data"
NOT_GIVEN = "not given"
NO_LEAKS = {
    ALIKE: "the same name in studies that are not known to be one, which may be another person",
    STUDY: "another dataset of the test set's study, which may hold its cells counted again",
}


def make_data_page(
    datasets: Sequence[Mapping[str, Any]],
    *,
    corpora: Mapping[str, Sequence[str]],
    leakage: Mapping[str, Path],
    pages: Mapping[str, str],
    scale: str,
) -> Page:
    """Make the page.

    Parameters
    ----------
    datasets
        Rows of the registry, as text fields (`Dataset.to_row`), with `used_as`.
    corpora
        The datasets of each corpus that the rows are trained on.
    leakage
        Ledger of each corpus (`results/<scale>/corpora/<corpus>_leakage.tsv`).
    pages
        Name of a dataset, or `corpus NAME`, to the place of its report in the site.
    """
    page = Page("Data", f"scale {scale}: {len(datasets)} datasets, {len(corpora)} corpora")
    page.heading("Corpora", anchor="corpora")
    lines = [
        {
            "corpus": _link(f"corpus {name}", pages, shown=name),
            "datasets": len(names),
            **_judge_leakage(leakage[name]),
            "of": ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else ""),
        }
        for name, names in corpora.items()
    ]
    page.table(pd.DataFrame(lines), name="corpora")
    page.text(
        "Shared cells are those whose counts are equal in corpus and test set (cells of few genes are not compared); shared "
        "datasets and donors are found by file and by donor within a study. What is shared is refused, unless the run was "
        "told to report it.",
        style="soft",
    )
    for name, path in leakage.items():
        _list_leaks(page, name, path)
    page.heading("Datasets", anchor="datasets")
    page.table(pd.DataFrame([_describe(row, pages) for row in datasets]), name="datasets")
    simulated = all(not row["url"] for row in datasets)
    if simulated:
        page.text(
            "The cells of this scale are simulated by the workflow or are the user's own files: there is nothing to fetch.",
            style="soft",
        )
    return page


def _describe(row: Mapping[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    urls = str(row["url"]).split()
    return {
        "dataset": _link(row["name"], pages),
        "used as": row["used_as"],
        "organism": row["organism"],
        "file": row["file"] or NOT_GIVEN,
        "bytes": float(row["bytes"] or "nan"),
        "licence": row["licence"] or NOT_GIVEN,
        "source": urls[0] if urls else "–",
        "citation": row["citation"] or NOT_GIVEN,
        "network truth": row["truth"] or "–",
        "checksum": f"sha256 {row['sha256']}" if row["sha256"] else f"md5 {row['md5']}" if row["md5"] else NOT_GIVEN,
    }


def _link(name: str, pages: Mapping[str, str], *, shown: str = "") -> Link | str:
    return Link(shown or name, pages[name]) if name in pages else shown or name


def _judge_leakage(path: Path) -> dict[str, Any]:
    ledger = _read(path)
    leaks = ledger.loc[ledger["kind"].isin(LEAKS)]
    return {
        "test sets compared": ledger["test_set"].nunique(),
        "leaks": "none" if leaks.empty else f"{len(leaks)} in {', '.join(sorted(set(leaks['test_set'])))}",
    }


def _list_leaks(page: Page, corpus: str, path: Path) -> None:
    """List what a corpus shares, or may share, with test sets; a clean one needs no table."""
    ledger = _read(path)
    found = ledger.loc[ledger["kind"] != CLEAN]
    if found.empty:
        return
    page.heading(f"What {corpus} shares with test sets", level=3, anchor=f"leakage-{corpus}")
    page.table(found.rename(columns=lambda name: name.replace("_", " ")), name=f"leakage of {corpus}")
    for kind, meaning in NO_LEAKS.items():
        if (found["kind"] == kind).any():
            page.text(f"{kind}: {meaning}.", style="soft")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)
