import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from scprint2.plots.controls import BAND, Band, draw_band, draw_strip, join_bands, make_band, show_band
from scprint2.tasks.controls import gather_controls, pooled_bands, read_bands, read_column_bands, write_controls
from scprint2.tasks.scores import ScoreRow, write_scores

CONTROLS = {"random_embedding": "random", "negative_control": "untrained"}


def test_a_band_spans_all_controls_and_names_their_kinds_once():
    band = make_band([("untrained", 3.0), ("random", 1.0), ("untrained", 2.0)])
    assert band == Band(1.0, 3.0, ("random", "untrained"))
    assert band.label == "controls (random, untrained)"
    assert make_band([]) is None


def test_a_value_is_covered_when_it_is_no_better_than_the_best_control():
    band = Band(1.0, 3.0, ("random",))
    assert [band.covers(value) for value in (0.0, 2.0, 3.0, 3.1)] == [True, True, True, False]
    assert Band(20.0, 90.0, ("random",)).subtracted_from(100.0) == Band(10.0, 80.0, ("random",))
    assert [band.covers(value, lower_is_better=True) for value in (0.9, 1.0, 9.0)] == [False, True, True]


@pytest.mark.parametrize("along", ["x", "y"])
def test_the_band_lies_behind_everything_and_moves_no_limit(along):
    figure, axis = plt.subplots()
    axis.plot([0, 1], [0, 10])
    before = axis.get_xlim(), axis.get_ylim()
    draw_band(axis, Band(-100.0, 4.0, ("random",)), along=along)
    assert (axis.get_xlim(), axis.get_ylim()) == before
    (patch,) = axis.patches
    assert patch.get_zorder() < min(line.get_zorder() for line in axis.lines[:1])
    assert patch.get_facecolor()[:3] == pytest.approx(to_rgb(BAND))
    assert "controls (random)" in axis.get_legend_handles_labels()[1]
    draw_band(axis, None)
    assert len(axis.patches) == 1
    plt.close(figure)


def test_several_bands_are_joined_to_one_that_spans_them_all():
    joined = join_bands([Band(1.0, 2.0, ("shuffled",)), None, Band(-1.0, 1.5, ("random", "untrained"))])
    assert joined == Band(-1.0, 2.0, ("random", "shuffled", "untrained"))
    assert join_bands([None]) is None


@pytest.mark.parametrize("along", ["x", "y"])
def test_the_best_control_comes_into_sight_and_the_worst_need_not(along):
    for band, limits in ((Band(-9.0, -2.0, ("random",)), (-2.35, 5)), (Band(1.0, 7.0, ("random",)), (0, 7.35))):
        for draw in (show_band, lambda axis, band, along: draw_strip(axis, band, 1.0, along=along)):
            figure, axis = plt.subplots()
            axis.set(xlim=(0, 5), ylim=(0, 5))
            draw(axis, band, along=along)
            assert (axis.get_xlim() if along == "x" else axis.get_ylim()) == pytest.approx(limits)
            assert (axis.get_ylim() if along == "x" else axis.get_xlim()) == (0, 5)
            plt.close(figure)


def test_the_best_control_comes_into_sight_on_a_logarithmic_axis_too():
    figure, axis = plt.subplots()
    axis.set(xscale="log", xlim=(1, 10))
    show_band(axis, Band(2.0, 100.0, ("random",)), along="x")
    assert axis.get_xlim() == pytest.approx((1, 10**2.1))
    plt.close(figure)


def test_a_strip_has_the_width_of_its_place_and_lies_behind():
    figure, axis = plt.subplots()
    axis.set(xlim=(0, 5), ylim=(2.5, -0.5))
    draw_strip(axis, Band(1.0, 3.0, ("random",)), 1.0)
    shade = axis.collections[0]
    corners = shade.get_paths()[0].get_extents()
    assert (corners.xmin, corners.xmax, corners.ymin, corners.ymax) == (1.0, 3.0, 0.6, 1.4)
    assert shade.get_facecolor()[0, :3] == pytest.approx(to_rgb(BAND))
    assert shade.get_zorder() == 0
    assert axis.get_ylim() == (2.5, -0.5)
    draw_strip(axis, None, 1.0)
    assert len(axis.collections) == 2
    plt.close(figure)


def test_controls_are_gathered_from_score_files_and_failed_ones_left_out(tmp_path):
    def row(variant: str, metric: str, value: float | None) -> ScoreRow:
        status, reason = ("ok", "") if value is not None else ("failed", "no batch")
        return ScoreRow("mini", variant, 0, "embed", "lung", metric, value, status, reason, 0.1, "1", "numpy 2")

    write_scores(
        tmp_path / "a.tsv", [row("random_embedding", "scib_total", 40.0), row("random_embedding", "clisi", None)]
    )
    write_scores(tmp_path / "b.tsv", [row("negative_control", "scib_total", 45.0)])
    frame = gather_controls([tmp_path / "a.tsv", tmp_path / "b.tsv"], CONTROLS)
    write_controls(tmp_path / "controls.tsv", frame)
    bands = read_bands(tmp_path / "controls.tsv")
    assert bands == {("embed", "lung", "scib_total"): Band(40.0, 45.0, ("random", "untrained"))}
    assert read_bands("") == {}
    assert gather_controls([], CONTROLS).empty
    assert np.isfinite(pd.read_csv(tmp_path / "controls.tsv", sep="\t")["value"]).all()


def test_bands_over_datasets_reach_from_the_lowest_to_the_highest_control_of_any():
    low, high = Band(1.0, 2.0, ("random",)), Band(5.0, 6.0, ("untrained",))
    bands = {("embed", "a", "x"): low, ("embed", "b", "x"): high, ("embed", "c", "x"): Band(0.0, 9.0, ("random",)),
             ("denoise", "a", "x"): Band(0.0, 9.0, ("random",)), ("embed", "b", "y"): high}  # fmt: skip
    assert pooled_bands(bands, "embed", ["a", "b"]) == {"x": Band(1.0, 6.0, ("random", "untrained")), "y": high}


def test_the_band_of_a_column_is_over_the_means_of_its_datasets(tmp_path):
    lines = [
        ("random", "random_profiles", 0, "denoise", "deep", "spearman_gain", -4.0),
        ("random", "random_profiles", 0, "denoise", "smart", "spearman_gain", -2.0),
        ("untrained", "negative_control", 0, "denoise", "deep", "spearman_gain", -9.0),
        ("untrained", "negative_control", 0, "denoise", "smart", "spearman_gain", -1.0),
        ("untrained", "negative_control", 1, "denoise", "deep", "spearman_gain", 50.0),
        ("random", "random_profiles", 0, "denoise", "deep", "spearman_noisy", 70.0),
    ]
    columns = ["control", "variant", "seed", "task", "dataset", "metric", "value"]
    write_controls(tmp_path / "controls.tsv", pd.DataFrame(lines, columns=pd.Index(columns)))
    sources = {
        "denoise": {"task": "denoise", "datasets": ["deep", "smart"], "metric": "spearman_gain"},
        "ct_lung": {"task": "annotate", "datasets": ["lung"], "metric": "accuracy"},
    }
    bands = read_column_bands(tmp_path / "controls.tsv", sources)
    assert bands == {"denoise": Band(-5.0, -3.0, ("random", "untrained"))}  # seed 1 has no score on the second dataset
