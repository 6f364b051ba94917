import pandas as pd
import pytest

from scprint2.config.overlay import list_variants
from scprint2.paper import (
    agreement,
    compare_with_paper,
    count_agreement,
    direction_in_paper,
    lay_out_comparison,
    read_paper,
)
from scprint2.table_page import render_html
from tests.helpers import CONFIG

PAPER = CONFIG / "paper" / "table1.csv"


@pytest.fixture(scope="module")
def paper():
    return read_paper(PAPER)


def wide(**verdicts):
    """A table of base and one row, whose verdicts are `inside` unless given."""
    columns = ("denoise", "scib_lung", "ct_lung")
    rows = []
    for variant, section in (("base", "Base"), ("denoising", "Task"), ("identity", "baseline")):
        line = {"variant": variant, "section": section, "name": variant}
        for column in [*columns, "scib_pancreas", "ct_pancreas", "or_gwps", "or_omni", "auprc_gwps", "auprc_omni"]:
            line |= {column: 1.0, f"{column}_verdict_base": verdicts.get(column, "inside")}
        rows.append(line)
    return pd.DataFrame(rows)


def test_the_printed_table_names_our_rows(paper):
    assert set(paper["variant"]) <= set(list_variants(CONFIG))
    assert len(list_variants(CONFIG)) == 42


@pytest.mark.parametrize(
    ("value", "direction"),
    [("21", "above"), ("4.0", "inside"), ("1", "inside"), ("-24", "below"), ("", "inside"), ("x", "not run")],
)
def test_a_printed_value_is_held_against_the_printed_spread(value, direction):
    assert direction_in_paper(value, base=2.5, spread=1.5) == direction


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ("above", "above", "same"),
        ("inside", "inside", "same"),
        ("above", "below", "opposite"),
        ("inside", "below", "one"),
        ("above", "inside", "one"),
        ("not run", "above", "unknown"),
        ("above", "failed", "unknown"),
    ],
)
def test_agreement_of_directions(theirs, ours, expected):
    assert agreement(theirs, ours) == expected


def test_each_row_of_the_models_is_compared_in_every_column_with_a_spread(paper):
    compared = compare_with_paper(wide(denoise="above", scib_lung="below", ct_lung="failed"), paper).set_index("column")
    assert set(compared["variant"]) == {"denoising"}
    assert len(compared) == 9
    # printed: denoise 21, scib_lung 52.6, and ct_lung blank
    assert compared.loc["denoise", ["paper_direction", "printed", "agreement"]].tolist() == ["above", True, "same"]
    assert compared.loc["scib_lung", ["paper_direction", "agreement"]].tolist() == ["above", "opposite"]
    assert compared.loc["ct_lung", ["paper_direction", "printed", "agreement"]].tolist() == ["inside", False, "unknown"]


def test_doubtful_cells_are_shown_and_not_counted(paper):
    compared = compare_with_paper(wide(denoise="above"), paper)
    counts = count_agreement(compared)
    assert int(counts.to_numpy().sum()) == len(compared)
    doubtful = compared.assign(certainty=compared["certainty"].replace({"C": "A", "P": "A"}))
    assert int(count_agreement(doubtful).to_numpy().sum()) == int((~compared["printed"]).sum())


def test_the_page_shows_both_signs_and_says_what_it_is_worth(paper):
    page = render_html(lay_out_comparison(compare_with_paper(wide(denoise="below"), paper), scale="mini"))
    assert "say nothing about real cells" in page
    assert "▲ ▼" in page
    for letter, sign, word in (("P", "▲~ ▼", "probable"), ("A", "▲? ▼", "ambiguous")):
        compared = compare_with_paper(wide(denoise="below"), paper)
        compared["certainty"] = compared["certainty"].where(~compared["printed"], letter)
        page = render_html(lay_out_comparison(compared, scale="mini"))
        assert sign in page
        assert f"({word})" in page


def test_a_table_that_is_not_the_papers_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("variant,value\nbase,1\n")
    with pytest.raises(ValueError, match=r"no columns \['certainty', 'metric', 'spread'\]"):
        read_paper(tmp_path / "other.csv")
    cell = "base,denoise,1,1,C\n"
    (tmp_path / "twice.csv").write_text("variant,metric,value,spread,certainty\n" + 2 * cell)
    with pytest.raises(ValueError, match="a cell is given twice"):
        read_paper(tmp_path / "twice.csv")
