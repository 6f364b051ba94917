import numpy as np
import pandas as pd
import pytest
from scipy.stats import t, ttest_rel
from statsmodels.stats.multitest import multipletests

from scprint2.stats import (
    Spread,
    adjust_p_values,
    bootstrap_interval,
    choose_spread,
    judge,
    paired_tests,
    pool_spread,
    prediction_interval,
    standard_deviation,
)

T_2, T_4, T_5 = 4.302653, 2.776445, 2.570582  # t quantiles at 0.975 for 2, 4 and 5 degrees of freedom


def test_the_pooled_spread_weighs_each_row_by_its_degrees_of_freedom():
    # Sums of squares 2 (of 1, 2, 3) and 8 (of 0, 4), degrees 2 and 1; the single seed says nothing.
    pooled = pool_spread([(1.0, 2.0, 3.0), (0.0, 4.0), (7.0,)])
    assert pooled is not None
    assert pooled.deviation == pytest.approx(np.sqrt(10 / 3))
    assert pooled.degrees == 3
    assert pool_spread([(7.0,), (8.0,)]) is None


def test_with_few_seeds_the_interval_is_the_one_by_hand_from_the_pooled_spread():
    pooled = pool_spread([(1.0, 2.0, 3.0), (0.0, 2.0, 4.0)])
    interval = prediction_interval((1.0, 2.0, 3.0), seeds=1, pooled=pooled)
    half = T_4 * np.sqrt(2.5) * np.sqrt(1 / 3 + 1)
    assert interval.low == pytest.approx(2 - half, abs=1e-5)
    assert interval.high == pytest.approx(2 + half, abs=1e-5)


def test_with_five_seeds_the_reference_has_its_own_spread():
    values = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    assert choose_spread(values[:4], pooled=Spread(9.0, 7)) == Spread(9.0, 7)
    interval = prediction_interval(values, seeds=3, pooled=Spread(9.0, 7))
    assert interval.high - 3.5 == pytest.approx(T_5 * np.std(values, ddof=1) * np.sqrt(1 / 6 + 1 / 3), abs=1e-5)


def test_more_seeds_on_either_side_narrow_the_interval():
    pooled = Spread(1.0, 10)
    widths = [prediction_interval((1.0,) * n, seeds=m, pooled=pooled).high for n, m in ((3, 1), (3, 3), (4, 3))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(2 - T_2 * 1.2, "below"), (2 - T_2 * 1.1, "inside"), (2.0, "inside"), (2 + T_2 * 1.2, "above")],
)
def test_a_verdict_says_where_the_mean_lies(value, verdict):
    found = judge((value,), reference=(1.0, 2.0, 3.0), pooled=pool_spread([(1.0, 2.0, 3.0)]))  # half width T_2 * 1.1547
    assert found.verdict == verdict
    assert found.low == pytest.approx(2 - T_2 * np.sqrt(4 / 3), abs=1e-5)


def test_a_verdict_carries_the_spread_that_it_used():
    few, many = (1.0, 2.0, 3.0), (1.0, 2.0, 3.0, 4.0, 5.0)
    assert judge((9.0,), reference=few, pooled=Spread(0.5, 7)).spread == 0.5
    assert judge((9.0,), reference=many, pooled=Spread(0.5, 7)).spread == pytest.approx(np.sqrt(2.5))
    assert judge((9.0,), reference=few, pooled=None).spread is None


def test_without_a_spread_the_verdict_is_unknown_and_says_why():
    assert judge((1.0,), reference=(2.0,), pooled=None).verdict == "unknown"
    assert "no row has two seeds" in judge((1.0,), reference=(2.0,), pooled=None).reason
    assert "no row varies" in judge((1.0,), reference=(2.0, 2.0, 2.0), pooled=pool_spread([(2.0, 2.0, 2.0)])).reason


def test_a_reference_that_does_not_vary_takes_the_pooled_spread_so_that_no_band_has_width_zero():
    constant = (0.1 + 0.2, 0.3, 0.3, 0.3, 0.3)  # but for rounding
    assert choose_spread(constant, pooled=Spread(1.0, 4)) == Spread(1.0, 4)


def test_about_5_percent_of_equal_rows_fall_outside():
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(1000):
        rows = rng.normal(size=(3, 3))
        verdict = judge(tuple(rng.normal(size=1)), reference=tuple(rows[0]), pooled=pool_spread(map(tuple, rows)))
        outside += verdict.verdict != "inside"
    assert 30 <= outside <= 70


def test_one_value_has_no_deviation():
    assert standard_deviation((3.0,)) is None
    assert standard_deviation((1.0, 3.0)) == pytest.approx(np.sqrt(2))


def test_the_bootstrap_interval_covers_the_mean_and_is_the_normal_one_for_many_values():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_interval(values, rng=np.random.default_rng(1), draws=4000)
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)
    with pytest.raises(ValueError, match="at least two in each group"):
        bootstrap_interval(values[:1], rng=np.random.default_rng(1))


def test_donors_are_drawn_anew_within_their_dataset():
    rng = np.random.default_rng(0)
    deep, shallow = rng.normal(10, 1, 40), rng.normal(0, 1, 80)
    interval = bootstrap_interval(deep, shallow, rng=np.random.default_rng(1), draws=4000)
    error = np.sqrt(deep.var() / 40 + shallow.var() / 80) / 2  # of the mean of two independent means
    center = (deep.mean() + shallow.mean()) / 2
    assert (interval.low, interval.high) == pytest.approx((center - 1.96 * error, center + 1.96 * error), abs=0.01)


def test_cells_of_a_donor_are_alike_so_that_an_interval_from_cells_is_too_narrow():
    rng = np.random.default_rng(0)
    covered = {"donor": 0, "cell": 0}
    for _ in range(100):
        donors = rng.normal(size=12)
        cells = np.repeat(donors, 50) + 0.3 * rng.normal(size=600)
        for name, units in (("donor", cells.reshape(12, 50).mean(axis=1)), ("cell", cells)):
            interval = bootstrap_interval(units, rng=rng, draws=400)
            covered[name] += interval.low <= 0 <= interval.high
    assert covered["donor"] >= 90
    assert covered["cell"] <= 40


@pytest.mark.parametrize("sizes", [(3,), (4,), (8,), (4, 4), (3, 12)])
def test_intervals_from_few_units_hold_the_mean_as_often_as_they_say(sizes):
    """The plain percentiles of the draws hold it in 77 to 89 of 100 cases."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        groups = [rng.normal(size=size) for size in sizes]
        interval = bootstrap_interval(*groups, rng=rng, draws=400)
        covered += interval.low <= 0 <= interval.high
    assert covered >= 0.92 * 400


def test_the_p_value_of_a_verdict_is_that_of_the_interval_and_of_scipy():
    reference, values = (1.0, 2.0, 4.0, 3.0, 2.5), (5.0, 6.5, 4.0, 5.5, 6.0)
    verdict = judge(values, reference=reference, pooled=None)
    assert verdict.low is not None
    edge = judge((verdict.low,) * 5, reference=reference, pooled=None)
    assert edge.p_value == pytest.approx(0.05)
    spread = np.std(reference, ddof=1) * np.sqrt(2 / 5)
    assert verdict.p_value == pytest.approx(2 * t.sf((np.mean(values) - np.mean(reference)) / spread, 4))


def test_adjusted_p_values_are_those_of_statsmodels_and_skip_what_is_missing():
    p_values = [0.01, np.nan, 0.04, 0.03]
    found = adjust_p_values(p_values)
    assert np.isnan(found[1])
    expected = multipletests([0.01, 0.04, 0.03], method="fdr_bh")[1]
    assert [found[0], found[2], found[3]] == pytest.approx(list(expected))
    assert adjust_p_values([]) == []


def test_paired_tests_are_those_of_scipy_with_false_discoveries_controlled_as_in_statsmodels():
    rng = np.random.default_rng(0)
    units = [(dataset, seed) for dataset in "abc" for seed in range(3)]
    reference = dict(zip(units, rng.normal(size=9), strict=True))
    rows = {
        name: {unit: reference[unit] + shift + 0.3 * rng.normal() for unit in units}
        for name, shift in {"better": 1, "same": 0, "worse": -0.4}.items()
    }
    frame = paired_tests({name: (values, reference) for name, values in rows.items()})
    p_values = [ttest_rel(list(rows[name].values()), list(reference.values())).pvalue for name in rows]
    np.testing.assert_allclose(frame["p_value"], p_values)
    np.testing.assert_allclose(frame["q_value"], multipletests(p_values, method="fdr_bh")[1])
    assert frame["discovery"].tolist() == [True, False, True]
    assert frame["pairs"].tolist() == [9, 9, 9]


def test_each_entry_of_the_paired_tests_has_its_own_reference():
    first, second = {0: 1.0, 1: 2.5, 2: 4.0}, {0: 3.0, 1: 3.2, 2: 5.0}
    frame = paired_tests({("row", "column"): (first, second), "back": (second, first)}).set_index("entry")
    assert frame["difference"].tolist() == pytest.approx([-3.7 / 3, 3.7 / 3])
    assert frame["p_value"].nunique() == 1
    assert frame.index[0] == ("row", "column")


def test_rows_that_cannot_be_tested_say_why_and_do_not_count_in_the_adjustment():
    reference = {0: 1.0, 1: 2.0, 2: 4.0}
    rows = {
        "tested": {0: 2.0, 1: 2.5, 2: 5.5},
        "shifted": {0: 2.0, 1: 3.0, 2: 5.0},
        "single": {1: 3.0, 9: 1.0},
        "none": {},
    }
    frame = paired_tests({name: (values, reference) for name, values in rows.items()}).set_index("entry")
    assert frame["reason"].to_dict() == {
        "tested": "",
        "shifted": "the differences do not vary",
        "single": "fewer than two pairs",
        "none": "fewer than two pairs",
    }
    assert frame.loc["tested", "q_value"] == frame.loc["tested", "p_value"]
    assert frame["q_value"].isna().tolist() == [False, True, True, True]
    assert not frame["discovery"].any()
    assert frame.loc["single", "difference"] == 1
    assert pd.isna(frame.loc["none", "difference"])
