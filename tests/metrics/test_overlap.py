import numpy as np
import pytest

from scprint2.metrics.overlap import compare_truths


def row(table, first, second):
    return table[(table["first"] == first) & (table["second"] == second)].iloc[0]


def test_the_overlap_of_two_small_networks_is_the_one_by_hand():
    one = frozenset({("A", "x"), ("A", "y"), ("B", "x"), ("C", "z")})
    other = frozenset({("A", "x"), ("B", "y"), ("D", "x"), ("A", "w")})
    table = compare_truths({"one": one, "other": other})
    found = row(table, "one", "other")
    assert (found["edges"], found["shared"], found["share"]) == (4, 1, 1 / 4)
    # Both have the sources A and B and the genes A, B, x, y: edges to z, w and from C, D could not be shared.
    assert (found["comparable"], found["share_comparable"]) == (3, 1 / 3)
    assert found["expected"] == pytest.approx(3 * 2 / (2 * 4 - 2))
    assert found["fold"] == pytest.approx(1)
    back = row(table, "other", "one")
    assert (back["edges"], back["shared"], back["comparable"], back["share_comparable"]) == (4, 1, 2, 1 / 2)
    assert back["fold"] == found["fold"]


def test_a_network_shares_everything_with_itself_and_nothing_with_one_of_other_genes():
    one = frozenset({("A", "x"), ("B", "y")})
    table = compare_truths({"one": one, "same": one, "else": frozenset({("M", "n")})})
    assert row(table, "one", "same")["share"] == 1
    apart = row(table, "one", "else")
    assert apart["shared"] == 0
    assert np.isnan(apart["share_comparable"])
    assert np.isnan(apart["fold"])


def test_random_networks_share_what_chance_gives():
    rng = np.random.default_rng(0)

    def draw():
        return frozenset((f"g{a}", f"g{b}") for a, b in np.argwhere(rng.random((120, 120)) < 0.1) if a != b)

    table = compare_truths({"one": draw(), "other": draw()})
    assert table["fold"].iloc[0] == pytest.approx(1, abs=0.2)
