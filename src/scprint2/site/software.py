"""With which software the results were made: what is locked, what is installed, and what the scores themselves say."""

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from scprint2 import MODEL_REVISION
from scprint2.files import read_json
from scprint2.pages import Page

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\;]+)")
OUTSIDE = ("torch",)  # of the hashed lock, because CPU and CUDA wheels differ
NOT_INSTALLED = "not installed"


def make_software_page(long: pd.DataFrame, lock: Path, models: list[Path]) -> Page:
    """Make the page.

    Parameters
    ----------
    long
        The long form of Table 1, whose score rows say with which versions they were made.
    lock
        `requirements/lock.txt`.
    models
        Model folders, whose costs say with which torch and on what they were trained.
    """
    page = Page(
        "Software", f"model revision {MODEL_REVISION} · this report was made with Python {platform.python_version()}"
    )
    made = long.loc[long["version"] != ""]
    page.heading("What made the scores", anchor="scores")
    names = ["version", *(["versions"] if "versions" in made.columns else [])]
    counts = made.groupby(names, sort=True).size().rename("score rows").reset_index()
    page.table(
        counts.rename(columns={"version": "package", "versions": "libraries"}), name="versions in the score rows"
    )
    page.heading("What made the models", anchor="models")
    records = [read_json(folder / "cost.json") for folder in models]
    trained = pd.DataFrame(
        [
            {"torch": record["torch_version"], "device": record["device"], "attention": record["attention_kernel"]}
            for record in records
        ]
    )
    page.table(trained.value_counts(sort=False).rename("models").reset_index(), name="versions in the models")
    page.heading("What is locked, and what is installed here", anchor="lock")
    page.text(
        "The versions of requirements/lock.txt, each with its hashes there. A version that differs was installed by hand; torch "
        "stands outside of the lock.",
        style="soft",
    )
    page.table(pd.DataFrame([*read_pins(lock), *(_compare(name, "–") for name in OUTSIDE)]), name="locked versions")
    return page


def read_pins(lock: Path) -> Iterator[dict[str, str]]:
    """Yield the packages of a lock with the version that is installed."""
    for line in lock.read_text().splitlines():
        if found := PIN.match(line):
            yield _compare(found[1], found[2])


def _compare(name: str, locked: str) -> dict[str, str]:
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = NOT_INSTALLED
    return {
        "package": name,
        "locked": locked,
        "installed": installed,
        "same": {NOT_INSTALLED: "–"}.get(installed, "yes" if installed == locked else "–" if locked == "–" else "no"),
    }
