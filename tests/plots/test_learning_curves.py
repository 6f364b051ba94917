import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from scprint2.config.overlay import list_variants
from scprint2.plots.learning_curves import (
    BASE_COLOR,
    PALETTE,
    find_common_losses,
    plot_learning_curves,
    read_histories,
    read_rows,
)
from tests.helpers import CONFIG

STEPS = (10, 20, 30)
ROWS = pd.DataFrame(
    [
        ("base", "Base", "base"),
        ("control", "Loss", "control"),
        ("mse", "Loss", "MSE"),
        ("small", "Loss", "small model"),
    ],
    columns=["variant", "section", "name"],
)
LEVELS = {  # loss -> value at the first step, falling by a tenth of it at every step
    ("base", 0): {"reconstruction": 1.0, "classification": 2.0},
    ("base", 1): {"reconstruction": 1.1, "classification": 2.0},
    ("mse", 0): {"reconstruction": 5.0, "odd": 3.0},
    ("small", 0): {"reconstruction": 1.05, "classification": 1.9},
    ("control", 0): {},
}


def write_models(folder, levels=LEVELS) -> list:
    """Model folders with histories; the training losses are all 9."""
    models = []
    for (variant, seed), losses in levels.items():
        steps = STEPS if losses else ()
        lines = [
            {"step": step, "epoch": 1, "split": split, "loss": 7.0}
            | {name: 9.0 if split == "train" else value * (1 - 0.1 * number) for name, value in losses.items()}
            | {"gradient_norm": np.nan, "learning_rate": 0.1, "seconds": 1.0}
            for number, step in enumerate(steps)
            for split in ("train", "validation")
        ]
        path = folder / variant / f"seed_{seed}"
        path.mkdir(parents=True)
        columns = None if lines else ["step", "epoch", "split", "loss", "reconstruction", "learning_rate", "seconds"]
        pd.DataFrame(lines, columns=columns).to_csv(path / "history.csv", index=False)
        models.append(path)
    return models


@pytest.fixture
def curves(tmp_path) -> pd.DataFrame:
    return read_histories(write_models(tmp_path), ROWS)


def panel(figure, *, section: int, loss: int):
    columns = 1 + sum(bool(axis.get_title(loc="left")) for axis in figure.axes)
    return figure.axes[section * columns + loss]


def test_histories_become_one_tidy_frame_of_all_losses_in_the_order_of_the_rows(curves):
    assert curves.columns.tolist() == ["variant", "section", "seed", "step", "split", "loss", "value"]
    assert curves["variant"].unique().tolist() == ["base", "mse", "small"]
    assert set(curves["loss"]) == {"reconstruction", "classification", "odd"}
    line = curves.query(
        "variant == 'base' and seed == 1 and step == 30 and split == 'validation' and loss == 'reconstruction'"
    )
    assert line["value"].tolist() == pytest.approx([1.1 * 0.8])
    assert curves.query("split == 'train'")["value"].eq(9).all()


def test_there_is_a_column_of_panels_for_every_loss_that_most_trained_rows_have(curves):
    assert find_common_losses(curves) == ["reconstruction", "classification"]
    figure = plot_learning_curves(curves, ROWS, scale="mini")
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert [title for title in titles if title] == ["reconstruction", "classification"]
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert [label for label in labels if label] == ["Base", "Loss"]


def test_base_is_black_in_every_panel_over_the_range_of_its_seeds(curves):
    figure = plot_learning_curves(curves, ROWS, scale="mini")
    for section in (0, 1):
        axis = panel(figure, section=section, loss=0)
        (line,) = [line for line in axis.lines if line.get_label() == "base"]
        assert to_hex(line.get_color()) == BASE_COLOR
        np.testing.assert_allclose(line.get_ydata(), 1.05 * np.array([1, 0.9, 0.8]))
        (band,) = axis.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx((0.8, 1.1))


def test_rows_have_a_color_each_and_one_line_per_seed(curves):
    axis = panel(plot_learning_curves(curves, ROWS, scale="mini"), section=1, loss=1)
    (line,) = [line for line in axis.lines if line.get_label() == "small"]
    assert line.get_color() == PALETTE[2], "the third row of its section"
    np.testing.assert_allclose(line.get_ydata(), 1.9 * np.array([1, 0.9, 0.8]))


def test_a_curve_far_from_base_and_a_loss_that_a_row_lacks_are_said_in_words(curves):
    figure = plot_learning_curves(curves, ROWS, scale="mini")
    first, second = (panel(figure, section=1, loss=loss) for loss in (0, 1))
    assert [text.get_text() for text in first.texts] == ["▲ MSE: ends at 4"]
    assert [text.get_text() for text in second.texts] == ["MSE: not used"]
    assert first.get_ylim()[1] < 2, "the panel is that of base"


def drawn(axis):
    """The curves, without the edges of the band behind them."""
    return [line for line in axis.lines if line.get_transform() == axis.transData]


def test_notes_stand_above_the_curves(curves):
    axis = panel(plot_learning_curves(curves, ROWS, scale="mini"), section=1, loss=0)
    renderer = FigureCanvasAgg(axis.figure).get_renderer()
    lowest = min(text.get_window_extent(renderer).y0 for text in axis.texts)
    highest = max(axis.transData.transform(line.get_xydata())[:, 1].max() for line in drawn(axis))
    assert lowest > highest


def test_a_row_that_was_not_trained_says_so_in_the_legend(curves):
    figure = plot_learning_curves(curves, ROWS, scale="mini")
    legend = [text.get_text() for axis in figure.axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    assert "control (no curve)" in legend
    assert "small model" in legend


def test_seeds_that_stopped_early_do_not_bend_the_mean_of_base(curves):
    short = curves[~((curves["variant"] == "base") & (curves["seed"] == 1) & (curves["step"] > 20))]
    axis = panel(plot_learning_curves(short, ROWS, scale="mini"), section=0, loss=0)
    assert drawn(axis)[-1].get_xdata().tolist() == [10, 20]


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        read_histories(write_models(tmp_path, {("control", 0): {}}), ROWS)


def test_baselines_are_no_rows_of_the_figure(tmp_path):
    table = ROWS.assign(denoise=1.0)
    table.loc[4] = ["magic", "baseline", "MAGIC", 2.0]
    table.to_csv(tmp_path / "table1.csv", index=False)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "table1.csv"), ROWS)


def test_all_rows_fit_an_a4_page_and_every_name_is_inside_the_figure(tmp_path):
    variants = list_variants(CONFIG)
    rows = pd.DataFrame(
        [(name, row.section, row.table_name) for name, row in variants.items()], columns=ROWS.columns.tolist()
    )
    losses = dict.fromkeys(("reconstruction", "generation", "classification", "independence"), 1.0)
    levels = {(name, 0): losses for name in variants}
    figure = plot_learning_curves(read_histories(write_models(tmp_path, levels), rows), rows, scale="mini")
    width, height = figure.get_size_inches()
    assert (width <= 8.27, height <= 11.69) == (True, True)
    renderer = FigureCanvasAgg(figure).get_renderer()
    shown = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]
    names = set(rows["name"])
    inside = [
        text
        for text in shown
        if figure.bbox.x0 <= text.get_window_extent(renderer).x0
        and text.get_window_extent(renderer).x1 <= figure.bbox.x1
    ]
    missing = names - {" ".join(text.get_text().split()) for text in inside}
    assert missing == {"base"}, "base stands in every legend with its band"
