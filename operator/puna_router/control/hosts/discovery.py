"""One call of Envoy's for hosts (incremental xDS): what it wants, what it gets, what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from puna_router.control.hosts.assignment import TYPE
from puna_router.picker.protobuf import content, fields


class Hosts(NamedTuple):
    """Hosts of one cluster."""

    version: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One message of Envoy's (`DeltaDiscoveryRequest`), as far as it matters."""

    type: str = ""
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    """Versions that Envoy has from an earlier call, by name."""
    nonce: str = ""
    """Names the answer that this is about."""
    refusal: str | None = None
    """What was wrong with it."""


def read(message: bytes) -> Request:
    """Read a message.

    Raises:
        MalformedError: It is none.
    """
    texts: dict[int, list[str]] = {2: [""], 3: [], 4: [], 6: [""]}
    known: dict[str, str] = {}
    refusal = None
    for number, value in fields(message):
        if number in texts:
            texts[number].append(value.decode())
        elif number == _KNOWN:
            entry = dict(fields(value))
            known[entry.get(1, b"").decode()] = entry.get(2, b"").decode()
        elif number == _REFUSAL:
            refusal = dict(fields(value)).get(2, b"").decode(errors="replace")
    return Request(
        type=texts[2][-1],
        subscribe=tuple(texts[3]),
        unsubscribe=tuple(texts[4]),
        known=known,
        nonce=texts[6][-1],
        refusal=refusal,
    )


class Subscription:
    """What Envoy wants to know in one call."""

    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._sent: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._open: dict[str, dict[str, str]] = {}
        self._answers = 0

    def take(self, request: Request) -> str | None:
        """Note what Envoy says; returns what it found wrong with an answer."""
        if request.type != TYPE:
            return None
        versions = self._open.pop(request.nonce, {})
        if request.refusal is None:
            self._taken |= versions
        for name in request.unsubscribe:
            self._wanted.discard(name)
            self._sent.pop(name, None)
            self._taken.pop(name, None)
        self._wanted.update(request.subscribe)
        for name, version in request.known.items():
            self._sent[name] = self._taken[name] = version
        return request.refusal

    def news(self, hosts: Mapping[str, Hosts]) -> bytes | None:
        """The answer with all that Envoy wants and has not been sent; None if there is nothing."""
        versions = {
            name: hosts[name].version
            for name in sorted(self._wanted & hosts.keys())
            if self._sent.get(name) != hosts[name].version
        }
        if not versions:
            return None
        self._answers += 1
        nonce = str(self._answers)
        self._sent |= versions
        self._open[nonce] = versions
        resources = b"".join(content(2, _resource(name, hosts[name])) for name in versions)
        return resources + content(4, TYPE.encode()) + content(5, nonce.encode())

    def has(self, name: str, version: str) -> bool:
        """Whether Envoy has taken a version."""
        return self._taken.get(name) == version


_KNOWN, _REFUSAL = 5, 7


def _resource(name: str, hosts: Hosts) -> bytes:
    typed = content(1, TYPE.encode()) + content(2, hosts.message)
    return content(1, hosts.version.encode()) + content(2, typed) + content(3, name.encode())
