"""Listener: `/healthz` and `/metrics`, from a thread, for a stalled event loop must be seen too."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from puna.health import Limits, Vitals, verdict

REQUEST_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.5
"""Time after which a stop is noticed; an idle operator wakes this often for it."""


class ListenError(Exception):
    """The address cannot be listened on; the message names it."""


@contextmanager
def listen(
    address: str, registry: CollectorRegistry, vitals: Callable[[], Vitals], limits: Limits
) -> Iterator[int]:
    """Serve on `host:port` until left; give the port, which is a free one if 0 was asked for.

    Raises:
        ListenError: the address is not one, or is taken.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    server_type = type("Server", (_Server,), {"address_family": _family(host)})

    class Handler(_Handler):
        def content(self) -> tuple[HTTPStatus, str, bytes]:
            if self.path == "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)
            if self.path == "/healthz":
                wrong = verdict(vitals(), limits, time.monotonic())
                status = HTTPStatus.OK if wrong is None else HTTPStatus.SERVICE_UNAVAILABLE
                return status, "text/plain; charset=utf-8", f"{wrong or 'ok'}\n".encode()
            return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/healthz or /metrics\n"

    try:
        server = server_type((host, int(port)), Handler)
    except (OSError, ValueError, OverflowError) as error:
        raise ListenError(f"PUNA_LISTEN: cannot listen on {address}: {error}") from error
    thread = Thread(
        target=server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS

    def content(self) -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body."""
        raise NotImplementedError

    def do_GET(self) -> None:
        status, kind, body = self.content()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: probes come every few seconds."""


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
