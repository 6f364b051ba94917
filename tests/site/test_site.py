"""The site: every cell leads to what made it, every link somewhere, and nothing is loaded from elsewhere."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from scprint2.pages import Link, Page
from scprint2.site.beyond import lay_out_study
from scprint2.site.build import build_site
from scprint2.site.frame import PAGES, navigation, put_page
from scprint2.site.rows import Notebooks
from scprint2.site.software import read_pins
from tests.helpers import ROOT
from tests.site.conftest import FAILED, make_rows
from tests.site.links import broken_links, read_page


def text_of(path):
    page = re.sub(r"<(style|script)>.*?</\1>", "", path.read_text(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_every_link_leads_to_a_page_or_a_place_in_the_site(site):
    assert broken_links(site) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#x">b</a><a href="a.html#y" id="z">a</a><img src="https://b.c/d.png">'
    )
    (tmp_path / "b.html").write_text('<p id="x">')
    assert broken_links(tmp_path) == ["a.html: a.html#y", "a.html: https://b.c/d.png"]


def test_every_page_has_the_way_to_all_others(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) == len(PAGES) + len(make_rows()) + 5 + 2
    for path in pages:
        up = "../" * (len(path.relative_to(site).parts) - 1)
        assert {f"{up}{page}" for page in PAGES} <= set(read_page(path).addresses)


def test_every_cell_of_table_1_leads_to_the_scores_behind_it_and_they_to_their_notebook(site, sources):
    links = [address for address in read_page(site / "table1.html").addresses if address.startswith("rows/")]
    cells = {(row.variant, column) for row in sources.table.rows for column in sources.table.columns}
    assert {tuple(re.fullmatch(r"rows/(.+)\.html#(.+)", link).groups()) for link in links if "#" in link} == cells
    base = read_page(site / "rows/base.html")
    assert set(sources.table.columns) <= base.ids
    assert {f"../notebooks/base/seed_{seed}/gymnasium.html" for seed in (0, 1)} <= set(base.addresses)
    score = sources.table.cells["base", "denoise"].values[0]
    assert f"{score:,.4g}" in text_of(site / "rows/base.html")


def test_a_cell_that_failed_says_why_on_the_page_of_its_row(site):
    assert text_of(site / f"rows/{FAILED}.html").count("TimeoutError: not done after 9 s") >= 2


def test_a_row_says_what_it_changes(site):
    assert "model.compressor.kind none vae" in text_of(site / "rows/vae.html")
    assert "Nothing: it is what other rows are held against" in text_of(site / "rows/base.html")


def test_a_study_stands_beside_the_scores_with_the_settings_of_table_1(site, sources):
    (study,) = sources.studies
    lines = lay_out_study(study.read(), sources.table.long, metrics=study.metrics).set_index("score")
    assert lines.index.tolist() == ["scib_total", "scib_total:mean", "scib_total:free"]  # no donor, no other metric
    usual = sources.table.long.query(
        "variant == 'base' and seed == 0 and dataset == 'sim_lung' and metric == 'scib_total'"
    )
    assert lines.loc["scib_total", "with Table 1's settings"] == usual["value"].item()
    assert lines["here"].tolist() == pytest.approx([0.6, 0.7, np.nan], nan_ok=True)
    shown = text_of(site / "beyond.html")
    assert "scIB of each embedding" in shown
    assert "All rows against each known network" in shown
    assert "Accuracy over genes in context" not in shown  # this run has no such figure


def test_scores_at_an_equal_budget_stand_beside_the_curves(site):
    shown = text_of(site / "curves.html")
    assert "320 cells seen base 1 7 – seed 0: epoch 4 -3 1" in shown
    assert "2.5 s of training base 1 7 – seed 0: epoch 4 -3 1" in shown


def test_the_page_of_costs_has_the_studies_beside_the_rows(site):
    shown = text_of(site / "costs.html")
    assert "score_curves base-epochs_2 0 training 2.5 2 0" in shown


def test_the_data_page_has_checksum_licence_and_leaks(site):
    text = text_of(site / "data.html")
    for part in (
        "ab" * 32,
        "CC-BY-4.0",
        "123,456",
        "Somebody et al. <2020>",
        "1 in sim_lung",
        "https://a.place/of/data.h5ad",
    ):
        assert part in text
    assert "sim_kidney" not in text  # nothing is shared with it


def test_notebooks_are_found_by_the_names_of_both_layouts():
    line = {"variant": "base", "seed": 1, "task": "embed", "dataset": "lung"}
    for place in ("base/seed_1/gymnasium.html", "base/seed_1/embed.html", "base/seed_1/embed/lung.html"):
        assert Notebooks.among([place]).find(line) == place
    assert Notebooks.among(["base/seed_0/gymnasium.html"]).find(line) is None


def test_the_software_page_has_every_pin_of_the_lock(site):
    pins = list(read_pins(ROOT / "requirements/lock.txt"))
    assert len(pins) == len(re.findall(r"^[a-z0-9._-]+==", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE))
    assert next(pin for pin in pins if pin["package"] == "numpy")["installed"] != "not installed"
    assert "scprint2 0.1.0" in text_of(site / "software.html")


def test_the_same_results_make_the_same_site_byte_for_byte(sources, site, tmp_path):
    build_site(sources, tmp_path / "again")
    files = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert files == {
        p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*") if p.is_file()
    }


def test_a_site_that_cannot_be_made_leaves_the_one_before(sources, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("before")
    with pytest.raises(FileNotFoundError):
        build_site(replace(sources, claims=tmp_path / "missing.html"), tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site/index.html").read_text() == "before"


def test_a_page_of_another_version_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="Make it again"):
        put_page(tmp_path, "a.html", "<html><body></body></html>")


def test_the_navigation_knows_where_it_stands():
    assert 'href="../../table1.html"' in navigation("notebooks/base/x.html")
    assert navigation("table1.html").count("aria-current=page") == 1


def test_text_in_a_table_is_no_markup_and_numbers_sort_as_numbers():
    import pandas as pd

    page = Page("T")
    page.table(pd.DataFrame({"a": ["<b>", Link("x<y", 'p"q')], "n": [1234.5, float("nan")], "k": [12345, 1]}))
    html = page.render()
    assert "<td>&lt;b&gt;</td>" in html
    assert '<a href="p&quot;q">x&lt;y</a>' in html
    assert '<td class="number" data-value="1234.5">1,234</td>' in html
    assert '<td class="number" data-value="">–</td>' in html
    assert ">12,345<" in html
