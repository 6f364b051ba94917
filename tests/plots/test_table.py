from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from scprint2.plots.table import Display, DisplayCell, DisplayRow, DisplaySection, plot_table

CELLS = (
    DisplayCell("0.04512", "better", spread="± 0.00021"),
    DisplayCell("-23.8", "worse"),
    DisplayCell("failed", "failed", mark="1"),
    DisplayCell("n/a", "absent"),
)


def make_display() -> Display:
    rows = (DisplayRow("contrastive learning (masking + denoising)", CELLS), DisplayRow("base", CELLS[::-1]))
    return Display(
        title="Title",
        subtitle="Subtitle",
        groups=(("denoising", 1), ("embedding, batch correction", 2), ("networks", 1)),
        columns=("gain", "lung", "pancreas", "AUPRC"),
        sections=(DisplaySection("pretraining task", rows), DisplaySection("Baselines and controls", rows[:1])),
        notes=("A note that is rather long. " * 20,),
        footnotes=(("1", "no label"),),
    )


def test_every_text_is_drawn_inside_the_figure_and_no_two_overlap():
    figure = plot_table(make_display())
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    whole = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert whole.x0 <= box.x0, text
        assert box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0, text
        assert box.y1 <= whole.y1, text
    for number, box in enumerate(boxes):
        for other, next_box in list(zip(texts, boxes, strict=True))[number + 1 :]:
            apart = (
                box.x1 <= next_box.x0 + 1
                or next_box.x1 <= box.x0 + 1
                or box.y1 <= next_box.y0 + 2
                or next_box.y1 <= box.y0 + 2
            )
            assert apart, (texts[number], other)


def test_better_and_worse_can_be_told_apart_without_color():
    drawn = [text.get_text() for text in plot_table(make_display()).findobj(Text) if isinstance(text, Text)]
    assert "0.04512 ▲" in drawn
    assert "-23.8 ▼" in drawn
    assert "failed [1]" in drawn
    assert any(text == "[1] no label" for text in drawn)
