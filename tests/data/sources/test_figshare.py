"""Answers have the shape of figshare's API v2: an array of files per page, empty after the last."""

import pytest

from scprint2.data.sources import figshare
from scprint2.data.sources.web import Web
from tests.data.web_server import as_json

MD5 = "043a51806d646e88cafbf19e7b82846f"
WEB = Web(backoff_seconds=0.0)


def public_file(number, **change):
    return {
        "id": number,
        "name": f"file_{number}.h5ad",
        "size": 100 + number,
        "is_link_only": False,
        "download_url": f"https://ndownloader.figshare.com/files/{number}",
        "supplied_md5": "",
        "computed_md5": MD5,
        "mimetype": "application/x-hdf",
    } | change


def serve_article(site, article, files):
    def answer(query):
        page, size = int(query["page"]), int(query["page_size"])
        return as_json(files[(page - 1) * size : page * size])

    site.answers[f"/v2/articles/{article}/files"] = answer


def test_sizes_and_md5_of_the_registrys_files_are_found_on_all_pages(site):
    serve_article(site, 1, [public_file(number) for number in range(250)])
    serve_article(site, 2, [public_file(900, computed_md5="", supplied_md5=MD5)])
    wanted = [
        ("lung.h5ad", ("https://figshare.com/ndownloader/files/249", "https://ndownloader.figshare.com/files/249")),
        ("gwps.h5ad", ("https://plus.figshare.com/ndownloader/files/900",)),
        ("private.h5ad", ("https://figshare.com/ndownloader/files/77777?private_link=abc",)),
        ("elsewhere.h5ad", ("https://example.org/files/3",)),
    ]
    checksums, silent = figshare.list_checksums(wanted, endpoint=site.url, articles=(1, 2), web=WEB)
    assert [(row.file, row.md5, row.bytes, row.sha256) for row in checksums] == [
        ("lung.h5ad", MD5, 349, ""),
        ("gwps.h5ad", MD5, 1000, ""),
    ]
    assert silent == ["private.h5ad"]
    assert [query["page"] for path, query, _ in site.requests if "/1/" in path] == ["1", "2", "3"]


def test_an_article_whose_last_page_is_full_ends_with_an_empty_one(site):
    serve_article(site, 1, [public_file(number) for number in range(200)])
    assert figshare.list_checksums([], endpoint=site.url, articles=(1,), web=WEB) == ([], [])
    assert [query["page"] for _, query, _ in site.requests] == ["1", "2", "3"]


@pytest.mark.parametrize("change", [{"is_link_only": True}, {"computed_md5": ""}])
def test_a_file_that_figshare_does_not_hold_is_refused(site, change):
    serve_article(site, 1, [public_file(5, **change)])
    with pytest.raises(ValueError, match="a link to elsewhere, or has no md5"):
        figshare.list_checksums([("a", ("https://figshare.com/files/5",))], endpoint=site.url, articles=(1,), web=WEB)
