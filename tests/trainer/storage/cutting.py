"""A proxy that hands on bytes, and cuts a connection where a test wants it."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SMALL = 16 * 1024
"""Replies of listings and of errors are shorter; they are not counted as a download."""


@dataclass(frozen=True)
class Cut:
    """Where the next large reply ends, and what is done before."""

    after: int
    then: Callable[[], None] = lambda: None


@dataclass
class Proxy:
    """What is cut next, and what was handed on."""

    target: int
    port: int = 0
    cuts: deque[Cut] = field(default_factory=deque)
    sent: int = 0


@contextmanager
def cutting(target: int) -> Iterator[Proxy]:
    """Hand on connections to a port of this machine."""
    proxy = Proxy(target)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", proxy.target)) as onward,
            ):
                threading.Thread(target=_pump, args=(self.request, onward), daemon=True).start()
                _replies(proxy, onward, self.request)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _replies(proxy: Proxy, source: socket.socket, sink: socket.socket) -> None:
    handed = 0
    while data := source.recv(64 * 1024):
        if proxy.cuts and handed + len(data) > max(proxy.cuts[0].after, SMALL):
            cut = proxy.cuts.popleft()
            sink.sendall(data[: max(cut.after - handed, 0)])
            cut.then()
            sink.shutdown(socket.SHUT_RDWR)
            return
        sink.sendall(data)
        handed += len(data)
        proxy.sent += len(data)
