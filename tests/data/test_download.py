import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from scprint2.data.checksums import Checksum, read_checksums, record_checksum
from scprint2.data.download import BadSource, Expected, Patience, fetch, fetch_file, problem_of, sha256_of
from scprint2.data.registry import Dataset
from scprint2.data.transfer import access_headers, asked_seconds, local_path

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
ALWAYS = {
    "missing": (404, b"gone"),
    "page": (200, b"<!DOCTYPE html><html>sign in</html>"),
    "hiddenpage": (200, b"<!DOCTYPE html><html>sign in</html>"),
    "wrong": (200, DATA[:-1] + b"x"),
}
QUICK = Patience(attempts=4, first_wait_seconds=0.01, timeout_seconds=(2.0, 2.0))
WHOLE = Expected("set_a.h5ad", SHA, len(DATA))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve DATA with ranges; the path says what goes wrong, and how often."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        kind, times = re.fullmatch(r"/([a-z]+)(\d*)/?.*", self.path).groups()
        failing = sum(path == self.path for path, _ in self.server.requests) <= int(times or 0)
        if kind in ALWAYS:
            return self.answer(*ALWAYS[kind], kind="text/html" if kind == "page" else "application/octet-stream")
        if kind in ("busy", "asks", "down") and failing:
            status, headers = 520 if kind == "down" else 429, {"Retry-After": "1"} if kind == "asks" else {}
            return self.answer(status, b"slow down", headers=headers)
        if kind == "token" and self.headers.get("Authorization") != "Bearer new":
            return self.answer(401, b"expired")
        if kind == "partial":
            return self.answer(206, DATA)
        if kind == "slow":
            time.sleep(0.3)
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if kind == "elsewhere" and start:
            return self.answer(206, DATA[start // 2 :], start=start // 2)
        if kind == "norange" or self.headers.get("If-Range", self.server.tag) != self.server.tag:
            start = 0
        if start >= len(DATA):
            return self.answer(416, b"")
        body = DATA[start:]
        if kind == "cut" and failing:
            return self.answer(206 if start else 200, body[: len(body) // 2], length=len(body), start=start)
        return self.answer(206 if start else 200, body, start=start)

    def answer(self, status, body, *, kind="application/octet-stream", length=None, start=0, headers=None):
        self.send_response(status)
        for name, value in {"ETag": self.server.tag, **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        running.tag = ""
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server, target, *kinds, expected=WHOLE):
    fetch_file(expected, target, urls=[f"{server.url}/{kind}" for kind in kinds], patience=QUICK)


def left_over(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_downloaded_once_and_then_left_alone(server, tmp_path):
    for _ in range(3):
        get(server, tmp_path / "a.h5ad", "good")
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    assert len(server.requests) == 1
    assert left_over(tmp_path) == ["a.h5ad"]


def test_a_cut_transfer_goes_on_where_it_was_cut(server, tmp_path):
    get(server, tmp_path / "a.h5ad", "cut2")
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    half = len(DATA) // 2
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_server_without_ranges_sends_the_file_from_the_start(server, tmp_path):
    target = tmp_path / "a.h5ad"
    key = hashlib.sha256(f"{server.url}/norange {SHA}".encode()).hexdigest()[:12]
    (tmp_path / f".a.h5ad.{key}.part").write_bytes(DATA[:1000])
    get(server, target, "norange")
    assert target.read_bytes() == DATA


def test_a_part_file_that_is_too_long_is_begun_anew(server, tmp_path):
    key = hashlib.sha256(f"{server.url}/good {SHA}".encode()).hexdigest()[:12]
    (tmp_path / f".a.h5ad.{key}.part").write_bytes(DATA + b"more")
    get(server, tmp_path / "a.h5ad", "good")
    assert (tmp_path / "a.h5ad").read_bytes() == DATA


@pytest.mark.parametrize("kind", ["busy3", "down3"])
def test_a_busy_server_is_asked_again(server, tmp_path, kind):
    get(server, tmp_path / "a.h5ad", kind)
    assert len(server.requests) == 4
    assert (tmp_path / "a.h5ad").read_bytes() == DATA


def test_a_server_that_says_how_long_to_wait_is_given_that_long(server, tmp_path):
    begin = time.monotonic()
    get(server, tmp_path / "a.h5ad", "asks1")
    assert time.monotonic() - begin >= 1
    assert len(server.requests) == 2


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("", 0), ("soon", 0)])
def test_retry_after_is_read_as_seconds(value, seconds):
    assert asked_seconds({"Retry-After": value} if value else {}) == seconds


def test_retry_after_is_read_as_a_date():
    value = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert 3000 <= asked_seconds({"Retry-After": value}) <= 3600


def test_a_missing_file_is_not_asked_for_again_and_the_next_url_is_tried(server, tmp_path):
    get(server, tmp_path / "a.h5ad", "missing", "good")
    assert [path for path, _ in server.requests] == ["/missing", "/good"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "status 404"),
        ("page", "answers with an HTML page"),
        ("hiddenpage", "has 35 bytes, expected 1,048,576"),
        ("wrong", f"has sha256 [0-9a-f]{{64}}, expected {SHA}"),
        ("cut9", "Connection broken"),
        ("busy9", "status 429"),
        ("down9", "status 520"),
    ],
)
def test_what_a_url_gives_instead_is_reported_and_nothing_is_left_in_place(server, tmp_path, kind, message):
    with pytest.raises(ValueError, match=f"cannot get set_a.h5ad: {server.url}/{kind}: .*{message}.*mirror"):
        get(server, tmp_path / "a.h5ad", kind)
    assert "a.h5ad" not in left_over(tmp_path)


def test_an_html_page_is_refused_even_where_nothing_is_known_of_the_file(server, tmp_path):
    with pytest.raises(ValueError, match="HTML page"):
        get(server, tmp_path / "a.h5ad", "hiddenpage", expected=Expected("set_a.h5ad"))


def test_a_server_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"ConnectionError.*\(tried 4 times\)"):
        fetch_file(WHOLE, tmp_path / "a.h5ad", urls=["http://127.0.0.1:9/a"], patience=QUICK)


def test_a_mirror_comes_first_and_is_checked_all_the_same(server, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, data in ((good, DATA), (bad, b"other")):
        folder.mkdir()
        (folder / "set_a.h5ad").write_bytes(data)
    dataset = Dataset("set_a", "NCBITaxon:9606", (f"{server.url}/good",), "set_a.h5ad", SHA, len(DATA))
    fetch(dataset, tmp_path / "one/a.h5ad", mirrors=[bad, good], patience=QUICK)
    assert (tmp_path / "one/a.h5ad").resolve() == good / "set_a.h5ad"
    assert server.requests == []
    fetch(dataset, tmp_path / "two/a.h5ad", mirrors=[bad, tmp_path / "none"], patience=QUICK)
    assert sha256_of(tmp_path / "two/a.h5ad") == SHA
    assert len(server.requests) == 1


def test_a_wrong_file_at_the_target_is_replaced(server, tmp_path):
    (tmp_path / "a.h5ad").write_bytes(b"half of i")
    get(server, tmp_path / "a.h5ad", "good")
    assert (tmp_path / "a.h5ad").read_bytes() == DATA


def test_a_dataset_without_any_source_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"cannot get set_a.h5ad: neither a URL nor a mirror.*give it as mirror"):
        fetch(Dataset("set_a", "NCBITaxon:9606"), tmp_path / "a.h5ad")


def test_twenty_threads_that_want_one_file_make_one_download(server, tmp_path):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: get(server, tmp_path / "a.h5ad", "slow"), range(20)))
    assert len(server.requests) == 1
    assert (tmp_path / "a.h5ad").read_bytes() == DATA


FETCH = """import sys
from scprint2.data.download import Expected, fetch_file
fetch_file(Expected("a", sys.argv[3]), sys.argv[2], urls=[sys.argv[1]])"""


def test_twenty_processes_that_want_one_file_make_one_download(server, tmp_path):
    command = [sys.executable, "-c", FETCH, f"{server.url}/slow", str(tmp_path / "a.h5ad"), SHA]
    running = [subprocess.Popen(command) for _ in range(20)]
    assert [process.wait(timeout=300) for process in running] == [0] * 20
    assert len(server.requests) == 1
    assert left_over(tmp_path) == ["a.h5ad"]


def test_a_killed_download_leaves_no_file_in_place_and_goes_on_from_its_part(server, tmp_path):
    target = tmp_path / "a.h5ad"
    hold = threading.Event()

    class Stalling(Handler):
        def answer(self, status, body, **values):
            if not hold.is_set():
                values["length"] = len(body)
                super().answer(status, body[: 1 << 19], **values)
                self.wfile.flush()
                hold.wait(60)
            else:
                super().answer(status, body, **values)

    server.RequestHandlerClass = Stalling
    process = subprocess.Popen([sys.executable, "-c", FETCH, f"{server.url}/good", str(target), SHA])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".a.h5ad.*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    hold.set()
    assert not target.exists()
    get(server, target, "good", expected=Expected("a", SHA))
    assert target.read_bytes() == DATA


def test_a_hundred_downloads_from_a_flaky_server_leave_no_bad_file(server, tmp_path):
    kinds = ["cut1", "busy1", "wrong", "missing", "hiddenpage", "good"]
    for run in range(100):
        target = tmp_path / f"{run}.h5ad"
        get(server, target, f"{kinds[run % len(kinds)]}/{run}", f"{kinds[run % 2]}/{run}b")
        assert target.read_bytes() == DATA


# --- files of which nothing is known before ---

UNKNOWN = Expected("set_a.h5ad")


def test_a_cut_transfer_of_an_unknown_file_goes_on_if_the_server_says_that_it_is_the_same(server, tmp_path):
    server.tag = '"version-1"'
    get(server, tmp_path / "a.h5ad", "cut1", expected=UNKNOWN)
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, f"bytes={len(DATA) // 2}-"]
    assert left_over(tmp_path) == ["a.h5ad"]


def test_a_cut_transfer_of_an_unknown_file_is_begun_anew_without_a_word_of_the_server(server, tmp_path):
    get(server, tmp_path / "a.h5ad", "cut1", expected=UNKNOWN)
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, None]


def test_a_part_of_another_version_of_the_file_is_not_gone_on_with(server, tmp_path):
    target = tmp_path / "a.h5ad"
    part = tmp_path / f".a.h5ad.{hashlib.sha256(f'{server.url}/good '.encode()).hexdigest()[:12]}.part"
    part.write_bytes(b"old version " * 100)
    part.with_name(part.name + ".json").write_text('{"validator": "\\"version-1\\""}')
    server.tag = '"version-2"'
    get(server, target, "good", expected=UNKNOWN)
    assert target.read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == ["bytes=1200-"]


def test_another_part_of_the_file_than_was_asked_for_is_not_taken_for_the_file(server, tmp_path):
    server.tag = '"version-1"'
    part = tmp_path / f".a.h5ad.{hashlib.sha256(f'{server.url}/elsewhere '.encode()).hexdigest()[:12]}.part"
    part.write_bytes(DATA[:1200])
    part.with_name(part.name + ".json").write_text('{"validator": "\\"version-1\\""}')
    get(server, tmp_path / "a.h5ad", "elsewhere", expected=UNKNOWN)
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == ["bytes=1200-", None]
    with pytest.raises(ValueError, match="the server sent 'bytes 0-.*', asked for was all from byte 0"):
        get(server, tmp_path / "b.h5ad", "partial", expected=UNKNOWN)


def test_the_checksum_of_a_first_download_is_recorded_and_enforced_from_then_on(server, tmp_path):
    table = tmp_path / "checksums.tsv"
    url = f"{server.url}/good"
    fetch_file(UNKNOWN, tmp_path / "one/a", urls=[url], checksums=table, patience=QUICK)
    learnt = read_checksums(table)["set_a.h5ad"]
    assert (learnt.sha256, learnt.bytes, learnt.url) == (SHA, len(DATA), url)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", learnt.date)
    with pytest.raises(ValueError, match=f"has sha256 [0-9a-f]{{64}}, expected {SHA}"):
        fetch_file(UNKNOWN, tmp_path / "two/a", urls=[f"{server.url}/wrong"], checksums=table, patience=QUICK)
    assert not (tmp_path / "two/a").exists()
    fetch_file(UNKNOWN, tmp_path / "three/a", urls=[f"{server.url}/cut1"], checksums=table, patience=QUICK)
    assert read_checksums(table) == {"set_a.h5ad": learnt}


def test_a_failed_download_records_nothing(server, tmp_path):
    with pytest.raises(ValueError, match="HTML page"):
        fetch_file(
            UNKNOWN, tmp_path / "a", urls=[f"{server.url}/page"], checksums=tmp_path / "checksums.tsv", patience=QUICK
        )
    assert read_checksums(tmp_path / "checksums.tsv") == {}


def test_a_file_of_a_mirror_is_recorded_without_its_place(tmp_path):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/set_a.h5ad").write_bytes(DATA)
    fetch_file(UNKNOWN, tmp_path / "a", mirrors=[tmp_path / "mirror"], checksums=tmp_path / "checksums.tsv")
    learnt = read_checksums(tmp_path / "checksums.tsv")["set_a.h5ad"]
    assert (learnt.sha256, learnt.url) == (SHA, "")


def test_a_registry_and_a_table_that_disagree_are_reported_before_anything_moves(server, tmp_path):
    record_checksum(tmp_path / "checksums.tsv", Checksum("set_a.h5ad", "0" * 64))
    with pytest.raises(ValueError, match=f"the registry says sha256 {SHA}, .*checksums.tsv says 0000"):
        fetch_file(WHOLE, tmp_path / "a", urls=[f"{server.url}/good"], checksums=tmp_path / "checksums.tsv")
    assert server.requests == []


def test_an_md5_of_the_publisher_is_checked_too(server, tmp_path):
    get(server, tmp_path / "a", "good", expected=Expected("a", md5=MD5))
    with pytest.raises(ValueError, match=f"has md5 [0-9a-f]{{32}}, expected {MD5}"):
        get(server, tmp_path / "b", "wrong", expected=Expected("b", md5=MD5))
    assert left_over(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        (WHOLE, None),
        (Expected("a", bytes=3), "has 1,048,576 bytes, expected 3"),
        (Expected("a", SHA, md5="0" * 32), f"has md5 {MD5}, expected 00000000000000000000000000000000"),
    ],
)
def test_the_problem_of_a_file_is_named(tmp_path, expected, problem):
    (tmp_path / "a").write_bytes(DATA)
    assert problem_of(tmp_path / "a", expected) == problem


# --- other places ---


def test_a_mirror_may_be_a_url(server, tmp_path):
    expected = Expected("sub folder/set a.h5ad", SHA)
    fetch_file(expected, tmp_path / "a", urls=["http://127.0.0.1:9/a"], mirrors=[f"{server.url}/good/"], patience=QUICK)
    assert sha256_of(tmp_path / "a") == SHA
    assert [path for path, _ in server.requests] == ["/good/sub%20folder/set%20a.h5ad"]


def test_a_file_that_an_installed_package_carries_is_copied(tmp_path):
    fetch_file(Expected("x"), tmp_path / "x", urls=["package://pytest/pytest/__init__.py"])
    assert (tmp_path / "x").read_bytes() == open(pytest.__file__, "rb").read()
    with pytest.raises(BadSource, match="the package not-there is not installed"):
        local_path("package://not-there/x")


def test_tokens_go_to_google_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("GOOGLE_USER_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "secret")
    assert access_headers("https://storage.googleapis.com/b/o") == {
        "x-goog-user-project": "mine",
        "Authorization": "Bearer secret",
    }
    assert access_headers("https://storage.googleapis.com.evil.org/b/o") == {}
    assert access_headers("https://figshare.com/a") == {}


def test_a_token_in_a_file_may_be_renewed_during_a_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr("scprint2.data.transfer.GOOGLE", server.url.removeprefix("http://"))
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "old")
    with pytest.raises(
        ValueError, match="status 401: in this bucket the requester pays; set .* or GOOGLE_ACCESS_TOKEN_FILE"
    ):
        get(server, tmp_path / "a.h5ad", "token")
    assert len(server.requests) == 1, "a token of the environment stays what it is"
    token = tmp_path / "token"
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN_FILE", str(token))
    with pytest.raises(ValueError, match="GOOGLE_ACCESS_TOKEN_FILE is '.*token': No such file"):
        get(server, tmp_path / "a.h5ad", "token")
    token.write_text("old\n")
    with pytest.raises(
        ValueError, match=r"status 401: the token of GOOGLE_ACCESS_TOKEN_FILE is not valid.*tried 4 times"
    ):
        get(server, tmp_path / "a.h5ad", "token")
    monkeypatch.setattr(Patience, "wait", lambda *_, **__: token.write_text("new\n"))
    get(server, tmp_path / "a.h5ad", "token")
    assert (tmp_path / "a.h5ad").read_bytes() == DATA
    assert len(server.requests) == 1 + 4 + 2
