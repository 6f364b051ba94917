import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from scprint2.config.overlay import list_variants
from scprint2.plots.controls import BAND, EDGE
from scprint2.plots.files import DOTS_PER_INCH, write_figure
from scprint2.plots.heat_map import CLIP, COLORMAP, GRAY, lay_out_heat_map, plot_heat_map, read_comparisons
from scprint2.plots.table import BETTER, WORSE
from scprint2.table_page import GROUPS
from tests.helpers import CONFIG

KEYS = "variant section name column reference seeds difference effect verdict distinguishable control reason".split()
COST, GAIN, LUNG = "gpu_min_per_epoch", "denoise", "ct_lung"
LINES = [
    ("mse", "Loss", "MSE", COST, "denoising", 1, 0.5, 12.0, "above", True, "", "no paired test"),
    ("mse", "Loss", "MSE", COST, "base", 1, 9.0, 99.0, "above", True, "", "no paired test"),
    ("mse", "Loss", "MSE", GAIN, "denoising", 1, 12.34, 3.0, "above", True, "", ""),
    ("mse", "Loss", "MSE", LUNG, "denoising", 1, np.nan, np.nan, "failed", False, "", "no classifier"),
    ("denoising", "Pre-training task", "denoise", COST, "base", 3, 0.1, -0.0, "inside", False, "", ""),
    ("denoising", "Pre-training task", "denoise", GAIN, "base", 3, -1.2, -2.0, "inside", False, "", ""),
    ("denoising", "Pre-training task", "denoise", LUNG, "base", 3, 2.0, np.nan, "unknown", False, "", "no spread"),
    ("control", "Architecture", "control", COST, "base", 1, np.nan, np.nan, "not applicable", False, "", "not trained"),
    ("magic", "baseline", "MAGIC", GAIN, "base", 1, 1.0, 1.0, "inside", False, "", ""),
]


def lay_out() -> pd.DataFrame:
    return lay_out_heat_map(pd.DataFrame(LINES, columns=KEYS))


@pytest.fixture(scope="module")
def drawn() -> pd.DataFrame:
    return lay_out().set_index(["variant", "column"])


@pytest.fixture(scope="module")
def figure():
    return plot_heat_map(lay_out(), scale="mini")


def texts(figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


def tile_color(figure, name: str) -> tuple[float, ...]:
    tiles = {tile.get_gid(): tile for tile in figure.findobj(Rectangle)}
    return tiles[name].get_facecolor()[:3]


def test_trained_rows_are_held_against_their_own_reference_and_no_baseline_is_drawn(drawn):
    assert "magic" not in drawn.index.get_level_values("variant")
    assert drawn.loc[("mse", COST), "difference"] == 0.5
    assert drawn.loc[("mse", COST), "reference"] == "denoise", "by its name"


def test_blue_is_better_also_where_less_is_better_and_colors_are_clipped(drawn, figure):
    assert drawn.loc[("mse", COST), ["shade", "state"]].tolist() == [-CLIP, "worse"]
    assert drawn.loc[("mse", GAIN), ["shade", "state"]].tolist() == [3.0, "better"]
    assert tile_color(figure, f"mse {COST}") == pytest.approx(to_rgb(WORSE))
    assert tile_color(figure, f"mse {GAIN}") == pytest.approx(COLORMAP(0.75)[:3])
    assert tile_color(figure, f"denoising {LUNG}") == (1, 1, 1)
    assert COLORMAP(1.0)[:3] == pytest.approx(to_rgb(BETTER))


def test_cells_say_the_difference_and_which_of_them_lie_outside_the_interval(figure):
    shown = {text.get_text(): text.get_fontweight() for text in texts(figure)}
    assert shown["+12.3"] == "bold"
    assert shown["−1.2"] == "normal"
    for name in (f"denoising {COST}", f"denoising {GAIN}"):
        assert tile_color(figure, name) == pytest.approx(to_rgb(GRAY)), "it cannot be told from its reference"


def test_cells_without_a_value_are_marked_and_explained(drawn, figure):
    assert drawn["state"].map(drawn["state"].value_counts())[[("mse", LUNG), ("control", COST)]].tolist() == [1, 1]
    shown = [text.get_text() for text in texts(figure)]
    assert {"failed¹", "+2.0²".replace("2.0", "2.00"), "n/a³"} <= set(shown)
    assert {"[1] MSE: no classifier", "[2] denoise: no spread", "[3] control: not trained"} <= set(shown)


def test_an_effect_outside_the_interval_is_gray_when_false_discoveries_are_controlled():
    lines = [("mse", "Loss", "MSE", GAIN, "base", 1, 12.0, 3.0, "above", False, "", "")]
    drawn = lay_out_heat_map(pd.DataFrame(lines, columns=KEYS))
    assert drawn["state"].tolist() == ["inside"]


def with_controls() -> pd.DataFrame:
    """Two rows, one of which does what the controls do."""
    lines = [
        (name, section, name, GAIN, "base", 1, difference, difference, "above", True, control, "")
        for name, section, difference, control in (
            ("good", "Loss", 9.0, ""),
            ("idle", "Loss", 1.5, ""),
            ("negative_control", "Architecture", -5.0, "untrained"),
            ("random_profiles", "baseline", -30.0, "random"),
            ("shuffled_profiles", "baseline", 2.0, "shuffled"),
            ("magic", "baseline", 20.0, ""),
        )
    ]
    return lay_out_heat_map(pd.DataFrame(lines, columns=KEYS))


def test_the_band_of_the_controls_is_drawn_and_rows_that_are_no_better_are_marked():
    drawn = with_controls().set_index("variant")
    assert drawn.loc["controls_max", ["difference", "name"]].tolist() == [2.0, "highest of random, shuffled, untrained"]
    assert drawn.loc["controls_min", ["difference", "text"]].tolist() == [-30.0, "−30.0"]
    assert (
        drawn["controls"].to_dict() | {"idle": True, "negative_control": True, "good": False}
        == drawn["controls"].to_dict()
    )
    figure = plot_heat_map(with_controls(), scale="mini")
    brown = [line for line in figure.axes[0].lines if line.get_color() == EDGE]
    assert len(brown) == 2
    assert tile_color(figure, f"controls_max {GAIN}") == pytest.approx(to_rgb(BAND))


def all_rows() -> pd.DataFrame:
    """Every row of the table in every column, with large and small numbers."""
    rng = np.random.default_rng(0)
    variants = {name: row for name, row in list_variants(CONFIG).items() if name != "base"}
    return pd.DataFrame(
        [
            (name, row.section, row.table_name, column, row.reference, 1, effect / 90, effect, "inside", False, "", "")
            if place
            else (
                name,
                row.section,
                row.table_name,
                column,
                row.reference,
                1,
                np.nan,
                np.nan,
                "failed",
                False,
                "",
                "x" * 90,
            )
            for name, row in variants.items()
            for place, (column, effect) in enumerate(zip(GROUPS, 5 * rng.normal(size=len(GROUPS)), strict=True))
        ],
        columns=KEYS,
    )


def test_all_rows_fit_an_a4_page_and_no_two_texts_overlap():
    figure = plot_heat_map(lay_out_heat_map(all_rows()), scale="mini")
    width, height = figure.get_size_inches()
    assert width <= 8.27
    assert height <= 11.69 + 0.5, "the footnotes of a page where much failed may take a little more"
    figure.set_dpi(DOTS_PER_INCH)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [(text, text.get_window_extent(renderer)) for text in texts(figure)]
    for number, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        for other, second in boxes[number + 1 :]:
            apart = (
                box.x1 <= second.x0 + 1 or second.x1 <= box.x0 + 1 or box.y1 <= second.y0 + 2 or second.y1 <= box.y0 + 2
            )
            assert apart, (text, other)


def test_files_are_the_same_whenever_they_are_written_and_the_csv_is_what_is_drawn(tmp_path):
    for folder in ("first", "second"):
        write_figure(plot_heat_map(lay_out(), scale="mini"), lay_out(), tmp_path / folder, "heat_map")
    for ending in ("pdf", "png", "csv"):
        first, second = (tmp_path / folder / f"heat_map.{ending}" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    assert not re.search(rb"/CreationDate|/ModDate", (tmp_path / "first/heat_map.pdf").read_bytes())
    written = pd.read_csv(tmp_path / "first/heat_map.csv", keep_default_na=False)
    assert written["text"].tolist() == lay_out()["text"].tolist()


def test_comparisons_read_back_give_the_same_figure(tmp_path):
    pd.DataFrame(LINES, columns=KEYS).to_csv(tmp_path / "c.csv", index=False)
    pd.testing.assert_frame_equal(lay_out_heat_map(read_comparisons(tmp_path / "c.csv")), lay_out())
