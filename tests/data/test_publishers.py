import re
from pathlib import Path

import pytest

from scprint2.data.publishers import Publisher, publisher_of, read_publishers
from scprint2.data.registry import URLS, read_organisms

ROOT = Path(__file__).resolve().parents[2]
HEADER = "url\tpublisher\tlicence\tcitation"


def table(folder, *rows):
    path = folder / "publishers.tsv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_every_file_that_describes_an_organism_has_a_publisher_and_every_publisher_has_a_file():
    publishers = read_publishers(ROOT / "config/publishers.tsv")
    rows = read_organisms(ROOT / "config/organisms.tsv").values()
    urls = [url for row in rows for url in row.files.values() if url.startswith(URLS)]
    found = {url: publisher_of(url, publishers) for url in urls}
    assert [url for url, publisher in found.items() if publisher is None] == []
    assert set(found.values()) == set(publishers)
    assert all(re.search(r" \d{4}, doi:10\.", publisher.citation) for publisher in publishers)


def test_of_two_beginnings_that_fit_the_longer_counts(tmp_path):
    rows = ("https://a.org/\tA\tMIT\tAnn 2020", "https://a.org/b/\tB\tCC0\tBob 2021")
    publishers = read_publishers(table(tmp_path, *rows))
    assert publisher_of("https://a.org/b/c.gz", publishers) == Publisher("https://a.org/b/", "B", "CC0", "Bob 2021")
    assert publisher_of("https://a.org/c.gz", publishers) == Publisher("https://a.org/", "A", "MIT", "Ann 2020")
    assert publisher_of("https://c.org/b/c.gz", publishers) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ftp://b.org/\tB\tMIT\tBob 2021", "url must start with"),
        ("https://b.org/\tB\t\tBob 2021", "no field may be empty"),
        ("https://a.org/\tA\tMIT\tAnn 2020", "given twice"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(tmp_path, row, message):
    with pytest.raises(ValueError, match=f"publishers.tsv, line 3: .*{message}"):
        read_publishers(table(tmp_path, "https://a.org/\tA\tMIT\tAnn 2020", row))
