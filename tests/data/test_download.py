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

import pytest

from scprint2.data.download import Expected, Patience, fetch, fetch_file, sha256_of
from scprint2.data.registry import Dataset

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(attempts=4, first_wait_seconds=0.01, timeout_seconds=(2.0, 2.0))
WHOLE = Expected("set_a.h5ad", SHA, len(DATA))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve DATA with ranges; the path says what goes wrong, and how often."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        kind, times = re.fullmatch(r"/([a-z]+)(\d*)/?.*", self.path).groups()
        failing = sum(path == self.path for path, _ in self.server.requests) <= int(times or 0)
        if kind == "missing":
            return self.answer(404, b"gone")
        if kind == "page":
            return self.answer(200, b"<!DOCTYPE html><html>sign in</html>", kind="text/html")
        if kind == "hiddenpage":
            return self.answer(200, b"<!DOCTYPE html><html>sign in</html>")
        if kind == "wrong":
            return self.answer(200, DATA[:-1] + b"x")
        if kind == "busy" and failing:
            return self.answer(429, b"slow down")
        if kind == "slow":
            time.sleep(0.3)
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if kind == "norange":
            start = 0
        if start >= len(DATA):
            return self.answer(416, b"")
        body = DATA[start:]
        if kind == "cut" and failing:
            return self.answer(206 if start else 200, body[: len(body) // 2], length=len(body), start=start)
        return self.answer(206 if start else 200, body, start=start)

    def answer(self, status, body, *, kind="application/octet-stream", length=None, start=0):
        self.send_response(status)
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


def test_a_busy_server_is_asked_again(server, tmp_path):
    get(server, tmp_path / "a.h5ad", "busy3")
    assert len(server.requests) == 4
    assert (tmp_path / "a.h5ad").read_bytes() == DATA


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


def test_four_processes_that_want_one_file_make_one_download(server, tmp_path):
    command = [sys.executable, "-c", FETCH, f"{server.url}/slow", str(tmp_path / "a.h5ad"), SHA]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    assert len(server.requests) == 1


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
