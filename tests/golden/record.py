"""Record what the tests compare with: the schema of experiments, each row's difference from its reference, and first losses.

Run `python -m tests.golden.record` after a change that is meant, look at the difference in git, and raise MODEL_REVISION when the
losses of a row that was there before have changed.
"""

import json

import torch

from scprint2 import MODEL_REVISION
from scprint2.config.overlay import difference, list_variants, resolve
from scprint2.experiment import experiment_schema
from tests.helpers import (
    CONFIG,
    ROOT,
    VARIANTS,
    count_parameters,
    first_losses,
    make_model,
    make_paper_size_model,
)

GOLDEN = ROOT / "tests" / "golden"


def record() -> None:
    """Write the three files."""
    write(CONFIG / "schemas" / "experiment.schema.json", experiment_schema())
    write(GOLDEN / "variants.json", {variant: describe(variant) for variant in VARIANTS})
    losses = {variant: first_losses(variant) for variant in VARIANTS}
    write(GOLDEN / "losses.json", {"revision": MODEL_REVISION, "losses": losses})


def describe(variant: str) -> dict:
    """Return the reference of a row, how its experiment differs from it, and its number of parameters, mini and paper's size."""
    reference = list_variants(CONFIG)[variant].reference
    trees = [resolve(CONFIG, scale="paper", variant=name) for name in (variant, reference)]
    return {
        "reference": reference,
        "difference": difference(*trees),
        "parameters": count_parameters(make_model(variant))["all"],
        "parameters_at_paper_size": count_parameters(make_paper_size_model(variant)[0]),
    }


def write(path, value) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    record()
