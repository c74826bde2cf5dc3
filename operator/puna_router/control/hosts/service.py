"""The socket on which Envoy asks for hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import cast

from puna_router.control.hosts.assignment import encoded
from puna_router.control.hosts.discovery import Hosts, Subscription, read
from puna_router.control.world import Resource
from puna_router.picker.connection import INVALID_ARGUMENT, Connection, Ended, Message
from puna_router.picker.protobuf import MalformedError


class HostsService:
    """Hosts by cluster, and how far Envoy has them."""

    def __init__(self) -> None:
        self._hosts: dict[str, Hosts] = {}
        self._calls: set[_Calls] = set()
        self._refusals: list[str] = []

    @asynccontextmanager
    async def serve(self, socket: Path) -> AsyncIterator[None]:
        """Answer until left."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Calls(self), str(socket))
        try:
            yield
        finally:
            server.close()
            for calls in list(self._calls):
                calls.close()

    def put(self, assignments: Mapping[str, Resource]) -> None:
        """Set the hosts of some clusters, and tell Envoy of what has changed."""
        for name, assignment in assignments.items():
            message = encoded(assignment)
            self._hosts[name] = Hosts(sha256(message).hexdigest()[:16], message)
        for calls in self._calls:
            calls.push()

    def keep(self, names: Iterable[str]) -> None:
        """Forget the hosts of all other clusters."""
        self._hosts = {name: self._hosts[name] for name in names if name in self._hosts}

    def taken(self) -> bool:
        """Whether Envoy has all hosts as they are."""
        return not self._hosts or any(
            all(calls.has(name, hosts.version) for name, hosts in self._hosts.items())
            for calls in self._calls
        )

    def refusals(self) -> tuple[str, ...]:
        """What Envoy found wrong since this was asked last."""
        told, self._refusals = tuple(self._refusals), []
        return told

    @property
    def hosts(self) -> Mapping[str, Hosts]:
        """Hosts by cluster."""
        return self._hosts

    def join(self, calls: _Calls) -> None:
        """Follow a connection of Envoy's."""
        self._calls.add(calls)

    def leave(self, calls: _Calls) -> None:
        """Follow it no more."""
        self._calls.discard(calls)

    def refused(self, message: str) -> None:
        """Note what Envoy found wrong."""
        self._refusals.append(message)


class _Calls(asyncio.Protocol):
    """Calls on one connection of Envoy's."""

    def __init__(self, service: HostsService) -> None:
        self._service = service
        self._connection = Connection()
        self._subscriptions: dict[int, Subscription] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._service.join(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Note what Envoy wants, and answer."""
        for event in self._connection.receive(data):
            if isinstance(event, Message):
                self._take(event)
                continue
            self._subscriptions.pop(event.stream, None)
            if isinstance(event, Ended):
                self._connection.finish(event.stream)
        self.push()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was wanted here."""
        del exc
        self._service.leave(self)

    def push(self) -> None:
        """Send what is new."""
        for stream, subscription in self._subscriptions.items():
            news = subscription.news(self._service.hosts)
            if news is not None:
                self._connection.send(stream, news)
        self._flush()

    def has(self, name: str, version: str) -> bool:
        """Whether Envoy has taken a version in one of these calls."""
        return any(found.has(name, version) for found in self._subscriptions.values())

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, message: Message) -> None:
        try:
            request = read(message.content)
        except (MalformedError, UnicodeDecodeError):
            self._connection.finish(message.stream, INVALID_ARGUMENT)
            return
        subscription = self._subscriptions.setdefault(message.stream, Subscription())
        refusal = subscription.take(request)
        if refusal is not None:
            self._service.refused(refusal)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(self._connection.take())
        if self._connection.closed:
            self._transport.close()
