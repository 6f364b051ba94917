"""On a GPU: the compiled model against the plain one, a row of each component."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.helpers import ROOT

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

ROWS = [
    "base", "binning", "contrastive", "criss_cross", "finetuned_gene_emb", "gnn", "hyper", "large_classifier", "mse",
    "only_expressed", "softpick", "tf_masking", "v1_small", "v2_small", "vae", "var_context", "xpressor",
]  # fmt: skip


@pytest.mark.parametrize("variant", ROWS)
def test_a_compiled_row_is_the_plain_one_and_trains(variant):
    """Bits differ, as sums are ordered otherwise."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.gpu.compiled", variant],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])[variant]
    assert found["apart"] < 2e-3
    assert found["finite"]
    assert found["after"] < found["before"]
    assert not found["said"]
