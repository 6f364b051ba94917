"""Getting files: from a mirror folder or the network, checked, resumed, and put into place by one rename."""

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

import requests

from scprint2.data.registry import Dataset
from scprint2.files import sync

ATTEMPTS = 6  # for each URL
WRONG_FILES = 2  # whole files with the wrong content after which a URL is given up
FIRST_WAIT_SECONDS = 1.0  # doubled at each attempt
LONGEST_WAIT_SECONDS = 60.0
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect; between two pieces of data
CHUNK_BYTES = 1 << 16  # what is lost of a piece that is cut
RETRIED = frozenset([408, 425, 429, 500, 502, 503, 504])


@dataclass(frozen=True)
class Expected:
    """What a file must be.

    Attributes
    ----------
    sha256, bytes
        Empty or None where the registry does not know.
    """

    name: str
    sha256: str = ""
    bytes: int | None = None


@dataclass(frozen=True)
class Patience:
    """How often and how long a download is tried."""

    attempts: int = ATTEMPTS
    first_wait_seconds: float = FIRST_WAIT_SECONDS
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS


class BadSource(Exception):
    """A source cannot give the file; trying it again is no use."""


def fetch(
    dataset: Dataset, target: str | Path, *, mirrors: Sequence[str | Path] = (), patience: Patience | None = None
) -> None:
    """Get a dataset's file: from the first mirror folder that holds it, else from its URLs.

    Raises
    ------
    ValueError
        If no source gives a file with the registry's checksum; the message says what each one gave.
    """
    expected = Expected(dataset.file or f"{dataset.name}.h5ad", dataset.sha256, dataset.bytes)
    fetch_file(expected, target, urls=dataset.url, mirrors=mirrors, patience=patience)


def fetch_file(
    expected: Expected,
    target: str | Path,
    *,
    urls: Sequence[str] = (),
    mirrors: Sequence[str | Path] = (),
    patience: Patience | None = None,
) -> None:
    """Put a checked file at `target`; nothing is done if it is there already and right.

    A file of a mirror is linked. A download goes on from where an earlier one was cut (HTTP ranges), waits longer after each
    failure, and is tried at the next URL. Processes that want the same target wait for one of them to get it.

    Raises
    ------
    ValueError
        If no source gives the file; the message says what each one gave.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if target.is_file() and not _problem(target, expected):
            return
        failures = []
        for source in [Path(mirror) / expected.name for mirror in mirrors]:
            if source.is_file():
                problem = _problem(source, expected)
                if problem is None:
                    _link(source, target)
                    return
                failures.append(f"{source}: {problem}")
            else:
                failures.append(f"{source}: there is no such file")
        for url in urls:
            try:
                _download(url, target, expected, patience or Patience())
            except BadSource as error:
                failures.append(f"{url}: {error}")
            else:
                return
    known = "; ".join(failures) or "neither a URL nor a mirror is given"
    raise ValueError(
        f"cannot get {expected.name}: {known}. Put the file into a folder and give it as mirror, or correct the registry."
    )


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Hold the right to write `target`; released by the system when the process ends, however it ends."""
    with target.with_name(f".{target.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _problem(path: Path, expected: Expected) -> str | None:
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        return f"has {size:,} bytes, expected {expected.bytes:,}"
    if expected.sha256 and (found := sha256_of(path)) != expected.sha256:
        return f"has sha256 {found}, expected {expected.sha256}"
    if _is_page(path):
        return "is an HTML page, not a data file"
    return None


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _link(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.link-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.resolve())
    os.replace(temporary, target)


def _download(url: str, target: Path, expected: Expected, patience: Patience) -> None:
    """Download into a part file named after URL and checksum, check it, rename it."""
    key = hashlib.sha256(f"{url} {expected.sha256}".encode()).hexdigest()[:12]
    part = target.with_name(f".{target.name}.{key}.part")
    if not expected.sha256:  # what an earlier run left cannot be checked
        part.unlink(missing_ok=True)
    reason, wrong, attempt = "", 0, 0
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(min(patience.first_wait_seconds * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS))
        try:
            _transfer(url, part, patience)
        except (requests.RequestException, TimeoutError, ConnectionError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                part.unlink(missing_ok=True)
            raise
        problem = _problem(part, expected)
        if problem is None:
            sync(part)
            os.replace(part, target)
            sync(target.parent)
            return
        part.unlink()
        reason, wrong = problem, wrong + 1
        if wrong == WRONG_FILES:
            break
    raise BadSource(f"{reason} (tried {attempt + 1} times)")


def _transfer(url: str, part: Path, patience: Patience) -> None:
    """Append to the part file what is missing of it."""
    if url.startswith("file://"):
        source = Path(unquote(urlparse(url).path))
        if not source.is_file():
            raise BadSource("there is no such file")
        shutil.copyfile(source, part)
        return
    have = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=patience.timeout_seconds) as answer:
        if answer.status_code == 416:
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("the part file is longer than the file; begun anew")
        if answer.status_code in RETRIED:
            raise requests.ConnectionError(f"status {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise BadSource(f"status {answer.status_code} {answer.reason}")
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise BadSource("answers with an HTML page, not a data file")
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        with part.open("ab" if resumed else "wb") as file:
            for chunk in answer.iter_content(CHUNK_BYTES):
                file.write(chunk)
