"""The site as a reader sees it, in a real browser."""

import pytest

from tests.site.browser import needs_chromium, open_browser

WIDTHS = (1280, 400)
COLUMN = "document.querySelectorAll('table.sortable thead tr:last-child th')"


@pytest.fixture(scope="module")
def tab():
    with open_browser() as opened:
        yield opened


def check_pages(tab, site) -> None:
    """No page complains, asks for anything but files, or is wider than its window."""
    for width in WIDTHS:
        for path in sorted(site.rglob("*.html")):
            tab.open(path, width=width)
            name = f"{path.relative_to(site)} at {width}"
            assert tab.evaluate("document.title") != "", name
            assert tab.problems == [], name
            assert all(address.startswith(("file:", "data:")) for address in tab.requests), name
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, name


def values(tab, column: int) -> list[str]:
    return tab.evaluate(
        f"[...document.querySelector('table.sortable').querySelectorAll('tbody tr')].map(r => r.cells[{column}].dataset.value"
        f" ?? r.cells[{column}].textContent.trim())"
    )


def order(tab, column: int) -> str | None:
    return tab.evaluate(f"{COLUMN}[{column}].getAttribute('aria-sort')")


@needs_chromium
def test_no_page_complains_or_overflows_at_any_width(tab, site):
    check_pages(tab, site)


@needs_chromium
def test_the_whole_table_1_is_seen_in_a_window_of_1280(tab, site):
    tab.open(site / "table1.html", width=1280)
    assert (
        tab.evaluate("(() => { const b = document.querySelector('.scroll'); return b.scrollWidth - b.clientWidth; })()")
        <= 0
    )


@needs_chromium
def test_a_click_on_a_heading_sorts_a_second_turns_and_a_third_restores(tab, site):
    tab.open(site / "table1.html", width=1280)
    before, names = values(tab, 3), values(tab, 1)
    head = "table.sortable thead tr:last-child th:nth-child(4) button"
    tab.click(head)
    present = [float(value) for value in values(tab, 3) if value]
    assert order(tab, 3) == "descending"
    assert present == sorted(present, reverse=True)
    assert len(present) > 40
    assert values(tab, 3)[len(present) :] == [""] * (len(before) - len(present))  # what is missing stays at the end
    assert sorted(names) == sorted(values(tab, 1))
    tab.click(head)
    present = [float(value) for value in values(tab, 3) if value]
    assert (order(tab, 3), present) == ("ascending", sorted(present))
    tab.click(head)
    assert (order(tab, 3), values(tab, 3), values(tab, 1)) == (None, before, names)


@needs_chromium
def test_headings_can_be_reached_and_used_with_the_keyboard(tab, site):
    tab.open(site / "table1.html", width=400)
    tab.evaluate(f"{COLUMN}[4].querySelector('button').focus()")
    tab.press("Enter")
    assert order(tab, 4) == "descending"


@needs_chromium
def test_numbers_in_tables_sort_by_value_and_words_by_letter(tab, site):
    tab.open(site / "costs.html", width=1280)
    tab.click("table.sortable thead th:nth-child(4) button")
    assert order(tab, 3) == "descending"
    tab.click("table.sortable thead th:nth-child(1) button")
    found = [name.lower() for name in values(tab, 0)]
    assert (order(tab, 0), order(tab, 3)) == ("ascending", None)
    assert tab.evaluate(
        f"(() => {{ const a = {found!r}; return a.every((x, i) => !i || a[i - 1].localeCompare(x) <= 0); }})()"
    )


@needs_chromium
def test_a_cell_leads_to_the_scores_behind_it(tab, site):
    tab.open(site / "table1.html", width=1280)
    to = tab.evaluate("document.querySelector('td.value a').href")
    assert "/rows/" in to
    tab.call("Page.navigate", url=to)
    tab.evaluate("new Promise(done => setTimeout(done, 300))")
    assert tab.evaluate("document.getElementById(location.hash.slice(1)) !== null")


@needs_chromium
def test_a_page_that_complains_is_noticed(tab, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><title>x</title><script>console.error("a"); undefined_thing()</script><img src="gone.png">'
    )
    tab.open(page, width=1280)
    assert any("undefined_thing" in problem for problem in tab.problems)
    assert any("gone.png" in problem for problem in tab.problems)
    assert any('"a"' in problem for problem in tab.problems)
