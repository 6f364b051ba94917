"""Moving the bytes of one URL into a part file: http(s) with ranges, files, and files that an installed package carries."""

import email.utils
import importlib.metadata
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

import requests

ATTEMPTS = 6  # for each URL
FIRST_WAIT_SECONDS = 1.0  # doubled at each attempt
LONGEST_WAIT_SECONDS = 60.0
LONGEST_ASKED_WAIT_SECONDS = 600.0  # of what a server asks for (Retry-After)
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect; between two pieces of data
CHUNK_BYTES = 1 << 16  # what is lost of a piece that is cut
RETRIED = frozenset([408, 425, 429, *range(500, 600)])  # statuses of a server that may answer another time
GOOGLE = "storage.googleapis.com"
TOKEN, TOKEN_FILE = "GOOGLE_ACCESS_TOKEN", "GOOGLE_ACCESS_TOKEN_FILE"  # variables of the environment


@dataclass(frozen=True)
class Patience:
    """How often and how long a download is tried."""

    attempts: int = ATTEMPTS
    first_wait_seconds: float = FIRST_WAIT_SECONDS
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS

    def wait(self, attempt: int, *, asked_seconds: float = 0.0) -> None:
        """Sleep before an attempt (the first is 0): longer each time, and what the server asked for, up to ten minutes."""
        own = min(self.first_wait_seconds * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS)
        time.sleep(max(own, min(asked_seconds, LONGEST_ASKED_WAIT_SECONDS)))


class BadSource(Exception):
    """A source cannot give the file; trying it again is no use."""


class Busy(requests.ConnectionError):
    """A server asks for patience.

    Attributes
    ----------
    seconds
        How long it asks to wait; 0 if it does not say.
    """

    def __init__(self, status: int, seconds: float):
        super().__init__(f"status {status}")
        self.seconds = seconds


def transfer(url: str, part: Path, *, patience: Patience, checked: bool) -> None:
    """Append to the part file what is missing of it.

    A part is only gone on with if the whole will be checked by a hash (`checked`), or if the server says by ETag or date that its
    file is the one that the part was begun from. That is kept beside the part.

    Raises
    ------
    BadSource
        If the source has no such file or gives a page in its place.
    requests.RequestException
        If it is worth another try.
    """
    local = local_path(url)
    if local is not None:
        if not local.is_file():
            raise BadSource(f"there is no such file as {local}")
        shutil.copyfile(local, part)
        return
    mark = part.with_name(part.name + ".json")
    validator = json.loads(mark.read_text()).get("validator", "") if mark.is_file() else ""
    have = part.stat().st_size if part.is_file() and (validator or checked) else 0
    headers = {"Accept-Encoding": "identity"} | access_headers(url)
    if have:
        headers |= {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})
    with requests.get(url, headers=headers, stream=True, timeout=patience.timeout_seconds) as answer:
        if answer.status_code == 416:
            drop(part)
            raise requests.ConnectionError("the part file is longer than the file; begun anew")
        _check_answer(url, answer)
        found = answer.headers.get("Content-Range", "")
        if answer.status_code == 206 and not (have and found.startswith(f"bytes {have}-")):
            drop(part)
            raise requests.ConnectionError(f"the server sent {found!r}, asked for was all from byte {have}; begun anew")
        mark.write_text(json.dumps({"validator": _validator(answer.headers)}))
        with part.open("ab" if answer.status_code == 206 else "wb") as file:
            for chunk in answer.iter_content(CHUNK_BYTES):
                file.write(chunk)


def drop(part: Path) -> None:
    """Remove a part file and what is kept beside it."""
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def local_path(url: str) -> Path | None:
    """Return the file that a file:// or package:// URL means, None for any other URL.

    Raises
    ------
    BadSource
        If the package is not installed.
    """
    parts = urlparse(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if parts.scheme != "package":
        return None
    try:
        return Path(str(importlib.metadata.distribution(parts.netloc).locate_file(parts.path.lstrip("/"))))
    except importlib.metadata.PackageNotFoundError as error:
        raise BadSource(f"the package {parts.netloc} is not installed") from error


def access_headers(url: str) -> dict[str, str]:
    """Return what a bucket needs whose requester pays: the user's project and token, to Google alone.

    A token lasts an hour; that of a file (`GOOGLE_ACCESS_TOKEN_FILE`) is read again at each request, so that it can be renewed.

    Raises
    ------
    BadSource
        If there is no such file.
    """
    if urlparse(url).netloc != GOOGLE:
        return {}
    project, token, file = (os.environ.get(name) for name in ("GOOGLE_USER_PROJECT", TOKEN, TOKEN_FILE))
    if file:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSource(
                f"{TOKEN_FILE} is {file!r}: {error.strerror}. Write the token there, or unset it"
            ) from error
    headers = {"x-goog-user-project": project} if project else {}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _check_answer(url: str, answer: requests.Response) -> None:
    google = urlparse(url).netloc == GOOGLE
    if answer.status_code in RETRIED:
        raise Busy(answer.status_code, asked_seconds(answer.headers))
    if answer.status_code == 401 and google and os.environ.get(TOKEN_FILE):
        raise requests.ConnectionError(f"status 401: the token of {TOKEN_FILE} is not valid, or not any more")
    if answer.status_code in (401, 403) and google:
        raise BadSource(
            f"status {answer.status_code}: in this bucket the requester pays; set GOOGLE_USER_PROJECT and {TOKEN} or {TOKEN_FILE}"
        )
    if answer.status_code not in (200, 206):
        raise BadSource(f"status {answer.status_code} {answer.reason}")
    if "text/html" in answer.headers.get("Content-Type", ""):
        raise BadSource("answers with an HTML page, not a data file")


def asked_seconds(headers: Mapping[str, str]) -> float:
    """Read Retry-After, which holds seconds or a date; 0 without one."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _validator(headers: Mapping[str, str]) -> str:
    """Return what may stand in If-Range: a strong ETag, else the date."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")
