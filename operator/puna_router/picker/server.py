"""Sockets around the processor and the pages."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from puna_router.picker.pages import Page, answer
from puna_router.picker.processor import Peer, Processor


class Calls:
    """Envoy's connections."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.connections: dict[Peer, asyncio.Transport] = {}

    def protocol(self) -> CallProtocol:
        """A protocol for one connection."""
        return CallProtocol(self)

    def flush(self) -> None:
        """Send whatever there is to send, on any connection."""
        for peer in self.processor.waiting_output():
            transport = self.connections.get(peer)
            if transport is not None:
                transport.write(peer.connection.take())
                if peer.connection.closed:
                    transport.close()

    def end(self) -> None:
        """Announce on every connection that no further call is taken."""
        for peer, transport in self.connections.items():
            peer.connection.end()
            transport.write(peer.connection.take())


class CallProtocol(asyncio.Protocol):
    """One connection of Envoy's."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._peer = calls.processor.connect()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._calls.connections[self._peer] = self._transport
        self._calls.flush()

    def data_received(self, data: bytes) -> None:
        """Decide, and answer at once."""
        self._calls.processor.receive(self._peer, data, time.monotonic(), time.time())
        self._calls.flush()

    def pause_writing(self) -> None:
        """Take no more from a peer that does not read."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let its requests go."""
        del exc
        self._calls.connections.pop(self._peer, None)
        self._calls.processor.lose(self._peer, time.monotonic())
        self._calls.flush()


class PageProtocol(asyncio.Protocol):
    """One connection that asks for a page."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._request = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the request is whole."""
        self._request += data
        text = answer(self._request, self._pages)
        if text is not None and self._transport is not None:
            self._transport.write(text)
            self._transport.close()


def unix_listener(path: Path) -> socket.socket:
    """A listening socket in the place of whatever was there, for this user alone.

    It is bound by its name from within its folder, so that the folder may lie deep: a path in a
    socket's address has about a hundred bytes.
    """
    # Not the name under which control writes picker.json.
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(0)
    here = os.open(".", os.O_RDONLY)
    mask = os.umask(0o177)
    try:
        os.chdir(path.parent)
        listener.bind(unfinished.name)
    finally:
        os.umask(mask)
        os.fchdir(here)
        os.close(here)
    listener.listen(1024)
    unfinished.replace(path)
    return listener
