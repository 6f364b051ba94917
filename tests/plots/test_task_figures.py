"""Figures of the gymnasium: what they show of their input; how they look is judged by eye."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from scprint2.metrics.overlap import compare_truths
from scprint2.plots.annotation import (
    answers_figure,
    confusion_figure,
    order_terms,
    reliability_figure,
    risk_coverage_figure,
)
from scprint2.plots.controls import Band
from scprint2.plots.denoising import expression_figure, gain_by_depth, gain_overview
from scprint2.plots.embedding import CAPTION, draw_map, embedding_panels, integration_table, kinds_figure
from scprint2.plots.networks import overlap_figure, precision_recall_figure, score_figure, top_edges_figure

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def texts(figure):
    found = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return [text for text in found if text]


def test_the_table_shows_every_value_and_names_what_failed():
    scores = pd.DataFrame({"a": [0.25, np.nan], "b": [0.5, 1.0], "total": [48.7, np.nan]}, index=["lung", "pancreas"])
    shown = texts(integration_table(scores, parts={"bio": ["a"], "batch": ["b"]}, totals={"total": "all"}, title="t"))
    assert {"0.25", "0.50", "1.00", "48.7", "bio", "batch", "lung", "pancreas"} <= set(shown)
    assert shown.count("failed") == 2


def test_the_panels_carry_the_warning_and_count_what_has_no_color_of_its_own():
    rng = np.random.default_rng(0)
    groups = {"batch": np.array(["x", "y"] * 100), "type": np.array([f"t{i % 25}" for i in range(200)])}
    shown = texts(embedding_panels(rng.normal(size=(200, 2)), groups, title="set"))
    assert any(CAPTION[:30] in text for text in shown)
    assert "x (100)" in shown
    assert "5 more (40)" in shown


def test_the_map_keeps_neighbors_together_and_draws_few_of_many_cells():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    rows, places = draw_map(rng.normal(size=(120, 5)) + 8 * group[:, None], seed=0)
    assert rows.tolist() == list(range(120))
    nearest = np.argsort(((places[:, None] - places[None]) ** 2).sum(-1), axis=1)[:, 1]
    assert (group[nearest] == group).all()
    assert np.array_equal(draw_map(rng.normal(size=(3, 2)), seed=0)[0], [0, 1, 2])


def test_terms_that_share_ancestors_stand_side_by_side():
    ancestors = {"a1": {"a", "root"}, "b1": {"b", "root"}, "a2": {"a", "root"}, "b2": {"b", "root"}}
    order = order_terms(["a1", "b1", "a2", "b2"], ancestors=ancestors)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset(["a1", "a2"]), frozenset(["b1", "b2"])}
    assert order_terms(["x", "x"], ancestors={}) == ["x"]


def test_the_confusion_frames_right_calls_and_shows_shares_of_the_true_type():
    truth = np.array(["T"] * 4 + ["B"] * 2)
    called = np.array(["CD4"] * 3 + ["B"] + ["B"] * 2)
    figure = confusion_figure(truth, called, ancestors={"CD4": {"T"}}, names={"T": "T cell"}, title="set")
    shown = texts(figure)
    assert "T cell (4)" in shown
    assert {"75", "25", "100"} <= set(shown)
    frames = [patch for patch in figure.axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
    assert len(frames) == 2


def test_the_reliability_curve_has_the_observed_share_of_each_bin():
    confidence = np.repeat([0.15, 0.85], 20).astype(np.float32)
    right = np.array([True] * 5 + [False] * 15 + [True] * 20)
    line = reliability_figure(confidence, right, title="set").axes[0].lines[1]
    np.testing.assert_allclose(line.get_xdata(), [0.15, 0.85], rtol=1e-5)
    np.testing.assert_allclose(line.get_ydata(), [0.25, 1.0])


def test_answers_are_drawn_in_percent_with_what_is_strictly_right():
    columns = ["accuracy", "accuracy_strict", "macro_f1", "macro_f1_strict"]
    table = pd.DataFrame(
        [[80, 60, 50, 40], [90, np.nan, np.nan, np.nan]], index=["single cells", "smoothed"], columns=columns
    )
    bands = {("smoothed", "accuracy"): Band(10.0, 30.0, ("random", "shuffled"))}
    figure = answers_figure(table, ceiling=95.0, title="set", bands=bands)
    shade = figure.axes[0].collections[-2].get_paths()[0].get_extents()
    assert (shade.x0, shade.x1, shade.y0, shade.y1) == (10, 30, -0.4, 0.4), "behind the lower answer alone"
    assert "controls (random, shuffled)" in texts(figure)
    assert {"single cells", "smoothed", "answerable"} <= set(texts(figure))
    strict, aware = figure.axes[0].lines[:2]
    assert list(aware.get_xdata()) == [80, 90]
    assert strict.get_xdata()[0] == 60
    assert list(aware.get_ydata()) == [1, 0], "the first answer stands on top"


def test_the_risk_is_drawn_as_accuracy_inside_what_any_order_allows():
    answered, risk = np.array([0.25, 0.5, 0.75, 1.0]), np.array([0.0, 0.0, 1 / 3, 0.25])
    axis = risk_coverage_figure(answered, risk, title="set", band=Band(5.0, 20.0, ("random",))).axes[0]
    (shade,) = axis.patches
    assert shade.get_xy() == (0, 5)
    assert shade.get_height() == 15
    (curve,) = [line for line in axis.lines if line.get_label() == "by confidence"]
    np.testing.assert_allclose(curve.get_ydata(), [100, 100, 200 / 3, 75])
    outline = axis.collections[0].get_paths()[0].vertices
    assert outline[:, 1].min() == 0
    assert outline[:, 1].max() == 100


def test_the_gain_is_counted_over_the_cells_that_have_one():
    noisy = np.array([0.1, 0.2, 0.3, np.nan])
    figure = gain_by_depth(np.array([10, 20, 30, 40]), noisy=noisy, denoised=noisy + [0.1, -0.1, 0.2, 0.1], title="set")
    assert "67 % of 3 cells gain, median +10.0" in texts(figure)


def test_expression_is_drawn_before_and_after():
    values = np.arange(100.0)
    figure = expression_figure(values, noisy=values / 2, denoised=values, title="set")
    assert {"log(1 + noisy)", "log(1 + denoised)"} <= set(texts(figure))


def test_precision_and_recall_come_with_the_line_of_chance():
    curves = {("all", "first"): (np.array([0.5, 1.0]), np.array([0.4, 0.2]))}
    axis = precision_recall_figure(curves, prevalence={"all": 0.1}, title="set").axes[0]
    assert list(axis.lines[0].get_ydata()) == [0.4, 0.2]
    assert set(axis.lines[1].get_ydata()) == {0.1}


def test_known_edges_are_counted_against_chance():
    edges = pd.DataFrame({"regulator": ["a", "b"], "target": ["c", "d"], "score": [0.9, 0.5], "known": [True, False]})
    shown = texts(top_edges_figure(edges, expected=0.2, title="set"))
    assert "1 of 2 known (blue); chance: 0.2" in shown
    assert "a → c" in shown


def test_the_overview_draws_quarters_by_depth_and_every_way_to_count_that_was_computed():
    columns = [f"spearman_gain:depth_{part}" for part in (1, 2, 3, 4)] + ["spearman_gain", "spearman_gain_all", "other"]
    scores = pd.DataFrame([[1.0, 2, 3, 4, 5, np.nan, 9]], index=["set"], columns=columns)
    bands = {"spearman_gain:depth_2": Band(-9.0, 1.0, ("random",)), "spearman_gain_all": Band(2.0, 3.0, ("untrained",))}
    left, right = gain_overview(scores, title="row", bands=bands).axes
    quarter, way = (axis.collections[place].get_paths()[0].get_extents() for axis, place in ((left, 0), (right, 1)))
    assert (quarter.x0, quarter.x1, quarter.y0, quarter.y1) == (1.6, 2.4, -9, 1)
    assert (way.x0, way.x1, way.y0, way.y1) == (2, 3, 0.6, 1.4)
    assert "controls (random, untrained)" in texts(left.figure)
    assert list(left.lines[0].get_ydata()) == [1, 2, 3, 4]
    assert set(left.lines[1].get_ydata()) == {5}
    assert [label.get_text() for label in right.get_yticklabels()] == ["non-zero truth (Table 1)", "all entries"]
    assert right.collections[0].get_offsets()[0].tolist() == [5, 0]


def test_kinds_of_embeddings_stand_below_each_other_with_their_three_parts():
    table = pd.DataFrame(
        {"bio": [50.0, 40], "batch": [80.0, np.nan], "total": [62.0, np.nan]}, index=["cell_type", "all"]
    )
    bands = {("lung", "scib_bio"): Band(10.0, 45.0, ("random",)), ("lung", "scib_total"): Band(30.0, 40.0, ("random",))}
    controlled = kinds_figure({"lung": table, "pancreas": table.iloc[:1]}, title="row", bands=bands)
    assert [len(axis.get_yticklabels()) for axis in controlled.axes] == [3, 1], (
        "a line of controls where there are some"
    )
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in controlled.axes[0].patches]
    assert bars == [(10, 45), (30, 40)]
    marks = controlled.axes[0].collections[:3]
    rings = [[width for width in mark.get_linewidths() if width is not np.ma.masked] for mark in marks]
    assert rings == [[0, 2], [0], [0]], "of 50 and 40 only the second is no better than 45; what failed has no mark"
    figure = kinds_figure({"lung": table, "pancreas": table.iloc[:1]}, title="row")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cell type", "all"]
    assert {"bio", "batch", "total", "lung", "pancreas"} <= set(texts(figure))
    assert figure.axes[0].collections[0].get_offsets()[:, 0].tolist() == [50, 40]


def test_the_overlap_shows_each_share_its_number_and_how_far_it_is_from_chance():
    overlap = compare_truths(
        {"one": frozenset({("A", "x"), ("A", "y"), ("B", "x")}), "other": frozenset({("A", "x"), ("B", "z")})}
    )
    shown = texts(overlap_figure(overlap.assign(organism="man"), title="t"))
    fold = overlap["fold"].iloc[0]
    assert {
        f"33.3%\n1 edges\n{fold:.1f} x chance",
        f"50.0%\n1 edges\n{fold:.1f} x chance",
        "one\n3 edges",
        "man",
    } <= set(shown)


def test_one_known_network_is_nothing_to_compare():
    with pytest.raises(ValueError, match="name a second `truth`"):
        overlap_figure(compare_truths({"one": frozenset({("A", "x")})}).assign(organism="man"), title="t")


def test_a_score_is_drawn_beside_its_shuffled_control_and_a_failed_one_is_not():
    scores = pd.DataFrame(
        [("a", "base", 2.0, 1.5), ("a", "tf", 1.0, np.nan), ("b", "base", np.nan, np.nan), ("b", "tf", 4.0, 3.0)],
        columns=["panel", "row", "odds_ratio", "shuffled"],
    )
    figure = score_figure(scores, title="t", bands={"b": Band(0.5, 1.2, ("random",))})
    assert [len(axis.patches) for axis in figure.axes] == [0, 1], "each panel has its own band, or none"
    assert figure.axes[1].patches[0].get_extents().transformed(figure.axes[1].transData.inverted()).x1 == pytest.approx(
        1.2
    )
    assert "brown: controls (random)" in figure.get_suptitle()
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b"]
    rings, dots = figure.axes[0].collections
    assert dots.get_offsets().filled(np.nan).tolist() == [[2, 0], [1, 1]]
    assert rings.get_offsets().filled(np.nan)[0].tolist() == [1.5, 0]
    assert np.isnan(rings.get_offsets().filled(np.nan)[1, 0])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["base", "tf"]
