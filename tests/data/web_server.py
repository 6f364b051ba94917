"""A web server on this machine that answers as the services do: what a test puts into `answers`, by path."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What is sent back, `times` times; after that, what follows."""

    body: bytes = b""
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass
class Site:
    """The running server.

    `answers` maps a path to an answer, or to a function from the query (names to values) to an answer; `before` maps a path to
    answers that come first, once each.
    """

    url: str = ""
    answers: dict[str, Answer | Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    before: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        """Return the paths asked for, in order."""
        return [path for path, _, _ in self.requests]


def as_json(value: Any, **more: Any) -> Answer:
    return Answer(json.dumps(value).encode(), **more)


@contextmanager
def run_site() -> Iterator[Site]:
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            site.requests.append((parts.path, query, dict(self.headers)))
            waiting = site.before.get(parts.path)
            answer = (
                waiting.pop(0) if waiting else site.answers.get(parts.path, Answer(b"not found", 404, "text/plain"))
            )
            self.send(answer if isinstance(answer, Answer) else answer(query))

        def send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.kind, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
            self.close_connection = answer.cut

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        site.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            running.shutdown()
            thread.join()
