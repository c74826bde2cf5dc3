"""A real HTTP server for model files that answers as each test wants."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request that came in; header names in lower case."""

    path: str
    headers: dict[str, str]

    @property
    def offset(self) -> int:
        """First byte of the range that was asked for."""
        return int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


class Handler(BaseHTTPRequestHandler):
    """Answers by the behaviour that the test queued, else serves the file."""

    source: SourceServer

    def do_GET(self) -> None:
        asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
        self.source.asked.append(asked)
        queued = self.source.behaviours
        behaviour = queued.popleft() if queued else self.source.always or serve()
        try:
            behaviour(self, asked)
        except OSError:
            self.close_connection = True  # the client went away

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.wfile.write(data)
        self.source.sent += len(data)


Behaviour = Callable[[Handler, Asked], None]


@dataclass
class SourceServer:
    """The server: what it serves, how it behaves next, and what it was asked."""

    content: bytes
    etag: str | None = '"first"'
    always: Behaviour | None = None
    behaviours: deque[Behaviour] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    port: int = 0
    scheme: str = "http"

    def url(self, path: str = "/model.gguf", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients of these tests break off on purpose."""


@contextmanager
def running(source: SourceServer, tls: ssl.SSLContext | None = None) -> Iterator[SourceServer]:
    """Serve on a free port of the loopback interface."""
    handler = type("BoundHandler", (Handler,), {"source": source})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        source.scheme = "https"
    source.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield source
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def serve(
    *,
    honours_range: bool = True,
    first: Callable[[], object] | None = None,
    cut_after: int | None = None,
    then: Callable[[], object] | None = None,
    pace: float = 0.0,
    piece: int = 64 * 1024,
    extra: dict[str, str] | None = None,
    states_length: bool = True,
    claimed_length: int | None = None,
) -> Behaviour:
    """Serve the content, `first` something else: all, or `cut_after` bytes and `then` more."""

    def behave(handler: Handler, asked: Asked) -> None:
        source = handler.source
        content = source.content
        headers = {"Etag": source.etag} if source.etag else {}
        offset = asked.offset if honours_range else 0
        if asked.headers.get("if-range", source.etag) != source.etag:
            offset = 0
        if offset and offset >= len(content):
            handler.start(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        body = content[offset:]
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
        if states_length:
            headers["Content-Length"] = str(claimed_length or len(body))
        handler.start(206 if offset else 200, headers | (extra or {}))
        if first is not None:
            handler.wfile.flush()
            first()
        body = body[:cut_after]
        for start in range(0, len(body), piece):
            handler.body(body[start : start + piece])
            if pace:
                time.sleep(pace)
        if then is not None:
            handler.wfile.flush()
            then()

    return behave


def answer(status: int, headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with a status and no file."""

    def behave(handler: Handler, _asked: Asked) -> None:
        handler.start(status, {"Content-Length": "0", **(headers or {})})

    return behave


def redirect(location: str, headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with a redirect."""
    return answer(302, {"Location": location, **(headers or {})})
