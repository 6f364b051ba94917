"""Which libraries made a number: written beside every score, and never mixed in one table."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from scprint2 import MODEL_REVISION, SCORE_REVISION

# What can change a prediction or a score. A library that is not installed changes nothing. Not umap-learn, which draws a page
# of the corpus and nothing that is scored.
LIBRARIES = (
    "anndata",
    "cellxgene-ontology-guide",  # what is a descendant of what, for every score of annotation
    "graphtools",  # MAGIC's graph of cells
    "harmonypy",
    "igraph",
    "magic-impute",
    "numba",  # compiles pynndescent
    "numpy",
    "pandas",
    "pynndescent",  # neighbors of many cells
    "scanpy",
    "scikit-learn",
    "scikit-misc",  # scanpy's trend of the variance, from which variable genes come
    "scipy",
    "scvi-tools",
    "torch",
)
OWN = "scprint2"
SCORE_FILE = "results/{scale}/scores/{variant}/seed_{seed}/{task}/{dataset}.tsv"
SHOWN = 10  # files that an error names
MADE_EARLIER = "; predicted with "


def own_version() -> str:
    """Name, version and revisions of this package, as the column `version` of a score has it."""
    return f"{OWN} {version(OWN)}, model revision {MODEL_REVISION}, score revision {SCORE_REVISION}"


@cache
def installed_versions() -> str:
    """Name and version of each library that can change a number, such as `numpy 2.3.5, scipy 1.16.3`; loads none of them."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def describe_versions(predicted: str, *, scored: str) -> str:
    """The libraries that scored, and those among the ones that predicted which were others.

    Parameters
    ----------
    predicted
        As `installed_versions` gave it when the prediction was made.
    """
    others = [name for name in predicted.split(", ") if name not in scored.split(", ")]
    return scored + (f"{MADE_EARLIER}{', '.join(others)}" if others else "")


def refuse_mixed_versions(scores: pd.DataFrame) -> None:
    """Stop where scores were made with different versions of this package or of a library.

    A library that was not there when some of them were made is no difference: what needs it has failed rows there.

    Raises
    ------
    ValueError
        If so: it names the score files that differ from the installed versions (or, if none has these, from most files), what
        differs, and how to make them again.
    """
    files = scores.drop_duplicates(["scale", "variant", "seed", "task", "dataset"])
    made = (files["version"].astype(str) + ", " + files["versions"].astype(str)).tolist()
    counts = Counter(made)
    if not _differing(counts):
        return
    installed = f"{own_version()}, {installed_versions()}"
    kept = installed if installed in counts else counts.most_common(1)[0][0]
    paths = [SCORE_FILE.format_map(line) for line in files.to_dict("records")]
    apart = [path for path, text in zip(paths, made, strict=True) if text != kept]
    lines = [f"{_difference(text, kept)} ({number} files)" for text, number in counts.items() if text != kept]
    more = f" and {len(apart) - SHOWN} more" if len(apart) > SHOWN else ""
    raise ValueError(
        f"the scores were made with {len(counts)} sets of versions; one table holds one. {len(apart)} of {len(paths)} files "
        f"differ from the others: {'; '.join(lines)}. They are {', '.join(apart[:SHOWN])}{more}. Delete these files and the "
        "predictions of the same names (predictions/ for scores/, .h5ad for .tsv), and run the same command again"
    )


def _differing(texts: Iterable[str]) -> set[str]:
    """The names that occur with two versions."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for entry in text.replace(MADE_EARLIER, ", ").split(", "):
            name, _, number = entry.rpartition(" ")
            found.setdefault(name, set()).add(number)
    return {name for name, numbers in found.items() if len(numbers) > 1}


def _difference(text: str, kept: str) -> str:
    """What one set of versions has in place of another's."""
    others = set(kept.replace(MADE_EARLIER, ", ").split(", "))
    here, _, earlier = text.partition(MADE_EARLIER)
    found = [name for name in here.split(", ") if name not in others]
    found += [f"{name} in the predictions" for name in earlier.split(", ") if name]
    return " and ".join(found) or f"fewer libraries than {kept}"
