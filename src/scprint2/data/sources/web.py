"""Asking web services: JSON and small files, patiently."""

import json
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from scprint2.data.transfer import RETRIED, TIMEOUT_SECONDS, BadSource, access_headers

ATTEMPTS = 6
BACKOFF_SECONDS = 1.0  # doubled at each attempt; a server's Retry-After comes first


class Web:
    """A connection to web services that asks again when they are busy or cut the answer."""

    def __init__(self, *, attempts: int = ATTEMPTS, backoff_seconds: float = BACKOFF_SECONDS):
        retry = Retry(
            total=attempts - 1,
            backoff_factor=backoff_seconds,
            status_forcelist=RETRIED,
            allowed_methods=["GET"],
            raise_on_status=False,
        )
        self._attempts = attempts
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def get(self, url: str, parameters: Mapping[str, str | int] | None = None) -> bytes:
        """Return what a URL answers.

        Raises
        ------
        ValueError
            If it does not answer, or with another status than 200.
        """
        reason = ""
        for _ in range(self._attempts):
            try:
                answer = self._session.get(url, params=parameters, timeout=TIMEOUT_SECONDS, headers=access_headers(url))
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            except BadSource as error:
                raise ValueError(f"{url}: {error}") from error
            if answer.status_code != 200:
                raise ValueError(f"{answer.url}: status {answer.status_code} {answer.reason}")
            return answer.content
        raise ValueError(f"{url}: {reason}")

    def get_json(self, url: str, parameters: Mapping[str, str | int] | None = None) -> Any:
        """Return the JSON that a URL answers.

        Raises
        ------
        ValueError
            As `get`, and if the answer is something else than JSON, such as a page that asks to sign in.
        """
        content = self.get(url, parameters)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ValueError(f"{url}: the answer is not JSON: {content[:80]!r}") from error
