"""Getting files: from a mirror or the network, checked, resumed, and put into place by one rename."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import requests

from scprint2.data.checksums import Checksum, read_checksums, record_checksum, today
from scprint2.data.registry import Dataset
from scprint2.data.transfer import BadSource, Busy, Patience, drop, transfer
from scprint2.files import sync

__all__ = ["BadSource", "Expected", "Patience", "expected_file", "fetch", "fetch_file", "problem_of", "sha256_of"]

WRONG_FILES = 2  # whole files with the wrong content after which a URL is given up
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Expected:
    """What a file must be.

    Attributes
    ----------
    name
        Under which a mirror and the table of checksums know it.
    sha256, bytes, md5
        Empty or None where nobody knows.
    """

    name: str
    sha256: str = ""
    bytes: int | None = None
    md5: str = ""

    def know(self, learnt: Checksum | None, *, where: str | Path) -> "Expected":
        """Add what the table of checksums knows.

        Raises
        ------
        ValueError
            If it contradicts what the registry says.
        """
        if learnt is None:
            return self
        for name in ("sha256", "bytes", "md5"):
            own, other = getattr(self, name), getattr(learnt, name)
            if own not in ("", None) and other not in ("", None) and own != other:
                raise ValueError(
                    f"{self.name}: the registry says {name} {own}, {where} says {other}. Correct the wrong one."
                )
        return replace(
            self,
            sha256=self.sha256 or learnt.sha256,
            md5=self.md5 or learnt.md5,
            bytes=learnt.bytes if self.bytes is None else self.bytes,
        )


def expected_file(dataset: Dataset) -> Expected:
    """Return what the registry says of a dataset's file."""
    return Expected(dataset.file or f"{dataset.name}.h5ad", dataset.sha256, dataset.bytes, dataset.md5)


def fetch(
    dataset: Dataset,
    target: str | Path,
    *,
    mirrors: Sequence[str | Path] = (),
    checksums: str | Path | None = None,
    patience: Patience | None = None,
) -> None:
    """Get a dataset's file: from the first mirror that holds it, else from its URLs.

    Raises
    ------
    ValueError
        If no source gives a file with the expected checksum; the message says what each one gave.
    """
    fetch_file(
        expected_file(dataset), target, urls=dataset.url, mirrors=mirrors, checksums=checksums, patience=patience
    )


def fetch_file(
    expected: Expected,
    target: str | Path,
    *,
    urls: Sequence[str] = (),
    mirrors: Sequence[str | Path] = (),
    checksums: str | Path | None = None,
    patience: Patience | None = None,
) -> None:
    """Put a checked file at `target`; nothing is done if it is there already and right.

    A file of a mirror folder is linked; a mirror may be a URL too. A download goes on from where an earlier one was cut (HTTP
    ranges), waits longer after each failure, and is tried at the next URL. Processes that want the same target wait for one
    of them to get it. `checksums` is a table of what files were at their first download: it is enforced, and what it lacks is
    added to it.

    Raises
    ------
    ValueError
        If no source gives the file; the message says what each one gave.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target):
        if checksums is not None:
            expected = expected.know(read_checksums(checksums).get(expected.name), where=checksums)
        source = _get(expected, target, urls=urls, mirrors=mirrors, patience=patience or Patience())
        if checksums is not None and not expected.sha256:
            public = source in urls and not source.startswith("file://")
            url = source if public else ""  # a mirror or a folder of one's own is nobody else's
            found = Checksum(
                expected.name, sha256_of(target), expected.md5, target.stat().st_size, date=today(), url=url
            )
            record_checksum(checksums, found)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def problem_of(path: Path, expected: Expected) -> str | None:
    """Say in what a file differs from what it must be; None if in nothing."""
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        return f"has {size:,} bytes, expected {expected.bytes:,}"
    if _is_page(path):
        return "is an HTML page, not a data file"
    hashes = {name: hashlib.new(name) for name in ("sha256", "md5") if getattr(expected, name)}
    if hashes:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                for digest in hashes.values():
                    digest.update(piece)
    for name, digest in hashes.items():
        if digest.hexdigest() != getattr(expected, name):
            return f"has {name} {digest.hexdigest()}, expected {getattr(expected, name)}"
    return None


def _get(
    expected: Expected, target: Path, *, urls: Sequence[str], mirrors: Sequence[str | Path], patience: Patience
) -> str:
    """Put the file in place and return where it came from; empty if it was there."""
    if target.is_file() and problem_of(target, expected) is None:
        return ""
    failures = []
    for source in [_in_mirror(mirror, expected.name) for mirror in mirrors] + list(urls):
        try:
            if isinstance(source, Path):
                _link(source, target, expected)
            else:
                _download(source, target, expected, patience)
        except BadSource as error:
            failures.append(f"{source}: {error}")
        else:
            return str(source)
    known = "; ".join(failures) or "neither a URL nor a mirror is given"
    raise ValueError(
        f"cannot get {expected.name}: {known}. Put the file into a folder and give it as mirror, or correct the registry."
    )


def _in_mirror(mirror: str | Path, name: str) -> Path | str:
    if "://" in str(mirror):
        return f"{str(mirror).rstrip('/')}/{quote(name)}"
    return Path(mirror) / name


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Hold the right to write `target`; released by the system when the process ends, however it ends."""
    with target.with_name(f".{target.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _link(source: Path, target: Path, expected: Expected) -> None:
    if not source.is_file():
        raise BadSource("there is no such file")
    problem = problem_of(source, expected)
    if problem:
        raise BadSource(problem)
    temporary = target.with_name(f".{target.name}.link-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.resolve())
    os.replace(temporary, target)


def _download(url: str, target: Path, expected: Expected, patience: Patience) -> None:
    """Download into a part file named after URL and checksums, check it, rename it."""
    key = hashlib.sha256(f"{url} {expected.sha256 or expected.md5}".encode()).hexdigest()[:12]
    part = target.with_name(f".{target.name}.{key}.part")
    reason, wrong, attempt, asked = "", 0, 0, 0.0
    for attempt in range(patience.attempts):
        if attempt:
            patience.wait(attempt, asked_seconds=asked)
        try:
            transfer(url, part, patience=patience, checked=bool(expected.sha256 or expected.md5))
        except (requests.RequestException, TimeoutError, ConnectionError) as error:
            reason = str(error) if isinstance(error, Busy) else f"{type(error).__name__}: {error}"
            asked = error.seconds if isinstance(error, Busy) else 0.0
            continue
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                drop(part)
            raise
        problem = problem_of(part, expected)
        if problem is None:
            sync(part)
            os.replace(part, target)
            drop(part)
            sync(target.parent)
            return
        drop(part)
        reason, wrong = problem, wrong + 1
        if wrong == WRONG_FILES:
            break
    raise BadSource(f"{reason} (tried {attempt + 1} times)")
