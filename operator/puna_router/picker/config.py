"""picker.json: what control tells the picker. Standard library only; both sides import it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from puna_router.picker.members import DocumentError, Members

CONFIG_FILE: Final = "picker.json"
"""The document's name in the folder that the router's processes share."""
SOCKET: Final = "picker.sock"
"""UNIX socket in that folder: Envoy's ext_proc calls."""
STATE_SOCKET: Final = "picker-state.sock"
"""UNIX socket in that folder: HTTP, the same pages as on the TCP port."""
MAX_MESSAGE_TIMEOUT: Final = 610.0
"""Longest hold of a request, in seconds: what Envoy's `max_message_timeout` has to allow."""
HOLD_MARGIN: Final = 5.0
"""How much longer than the queue's timeout Envoy waits for an answer, in seconds: the picker's own
answer comes first."""


class Strategy(StrEnum):
    """How a server is chosen among those with a free slot."""

    PREFIX_AFFINITY = "PrefixAffinity"
    """The one that holds the longest part of the prompt in its cache, unless it is much busier."""
    LEAST_BUSY = "LeastBusy"
    """The one with the largest share of free slots."""
    ROUND_ROBIN = "RoundRobin"
    """One after the other."""


@dataclass(frozen=True, slots=True)
class PickerQueue:
    """Where the requests of one endpoint wait."""

    max_depth: int = 32
    """Requests that may wait in all routers together; 0: none waits."""
    timeout_seconds: float = 60
    """Longest wait, in seconds."""


@dataclass(frozen=True, slots=True)
class PickerKey:
    """Limits of one API key on one endpoint."""

    max_concurrency: int | None = None
    """Requests under way at once in all routers together, waiting ones too; None: no limit."""
    exhausted_until: float | None = None
    """When the key has tokens again, in seconds since the epoch; None: it has some."""


@dataclass(frozen=True, slots=True)
class PickerHost:
    """One server as one endpoint sees it."""

    address: str
    """IP address and port as Envoy writes them: `127.77.0.3:20123`, `[::1]:20123`."""
    slots: int
    """Requests that it works on at once, for all routers together."""
    clusters: tuple[str, ...]
    """Envoy clusters that it is a host of; of those only the ones where it is healthy, if any."""
    healthy: bool = True
    """Whether Envoy sends requests there."""
    priority: int = 0
    """Gets requests only while its cluster has no healthy host of a lower number."""


@dataclass(frozen=True, slots=True)
class PickerShadow:
    """Where copies of requests go, whose answers nobody waits for."""

    cluster: str
    addresses: tuple[str, ...]
    """Servers that may get some."""
    spare: int = 0
    """Slots of each that no copy takes: others' requests go there too."""


@dataclass(frozen=True, slots=True)
class PickerEndpoint:
    """One endpoint."""

    clusters: tuple[str, ...]
    """Its Envoy clusters, one for each revision."""
    hosts: tuple[PickerHost, ...] = ()
    strategy: Strategy = Strategy.PREFIX_AFFINITY
    queue: PickerQueue = PickerQueue()
    expected: int = 0
    """Servers that are wanted: while some are, requests wait for the first healthy one."""
    keys: Mapping[str, PickerKey] = field(default_factory=dict)
    """Limits by name of the key; a key that is not here has none."""
    shadow: PickerShadow | None = None
    """Where copies of requests go; None: nowhere."""


@dataclass(frozen=True, slots=True)
class PickerConfig:
    """The whole document."""

    endpoints: Mapping[str, PickerEndpoint] = field(default_factory=dict)
    share: int = 1
    """Routers that share the slots, places and concurrency of every endpoint."""
    share_index: int = 0
    """Which of them this one is, from 0."""

    def to_json(self) -> str:
        """The document as JSON: equal documents give equal bytes."""
        document = {
            "share": self.share,
            "shareIndex": self.share_index,
            "endpoints": {name: _written(found) for name, found in self.endpoints.items()},
        }
        return json.dumps(document, separators=(",", ":"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> PickerConfig:
        """Read a document.

        Raises:
            DocumentError: It is not what it has to be; the message names the member.
        """
        members = Members.parse(text)
        config = cls(
            endpoints={
                name: _endpoint(found) for name, found in members.named_objects("endpoints")
            },
            share=members.integer("share", least=1),
            share_index=members.integer("shareIndex"),
        )
        members.end()
        if config.share_index >= config.share:
            raise DocumentError(f"shareIndex: has to be below share, which is {config.share}")
        return config


def _written(endpoint: PickerEndpoint) -> dict[str, Any]:
    shadow = endpoint.shadow
    return {
        **({} if shadow is None else {"shadow": _written_shadow(shadow)}),
        "strategy": endpoint.strategy.value,
        "queue": {
            "maxDepth": endpoint.queue.max_depth,
            "timeoutSeconds": endpoint.queue.timeout_seconds,
        },
        "expected": endpoint.expected,
        "keys": {
            name: {"maxConcurrency": key.max_concurrency, "exhaustedUntil": key.exhausted_until}
            for name, key in endpoint.keys.items()
        },
        "clusters": list(endpoint.clusters),
        "hosts": [
            {
                "address": host.address,
                "slots": host.slots,
                "healthy": host.healthy,
                "priority": host.priority,
                "clusters": list(host.clusters),
            }
            for host in endpoint.hosts
        ],
    }


def _written_shadow(shadow: PickerShadow) -> dict[str, Any]:
    return {
        "cluster": shadow.cluster,
        "addresses": list(shadow.addresses),
        "spare": shadow.spare,
    }


def _endpoint(members: Members) -> PickerEndpoint:
    strategy = members.text("strategy")
    if strategy not in set(Strategy):
        known = ", ".join(Strategy)
        raise DocumentError(f"{members.at('strategy')}: one of {known} is needed")
    endpoint = PickerEndpoint(
        clusters=members.texts("clusters"),
        hosts=tuple(_host(found) for found in members.objects("hosts")),
        strategy=Strategy(strategy),
        queue=_queue(members.object("queue")),
        expected=members.integer("expected"),
        keys={name: _key(found) for name, found in members.named_objects("keys")},
        shadow=members.optional(lambda name: _shadow(members.object(name)), "shadow"),
    )
    members.end()
    return endpoint


def _queue(members: Members) -> PickerQueue:
    queue = PickerQueue(members.integer("maxDepth"), members.number("timeoutSeconds"))
    if queue.timeout_seconds + HOLD_MARGIN > MAX_MESSAGE_TIMEOUT:
        longest = MAX_MESSAGE_TIMEOUT - HOLD_MARGIN
        raise DocumentError(f"{members.at('timeoutSeconds')}: may be {longest:g} at most")
    members.end()
    return queue


def _shadow(members: Members) -> PickerShadow:
    shadow = PickerShadow(
        cluster=members.text("cluster"),
        addresses=members.texts("addresses"),
        spare=members.integer("spare"),
    )
    members.end()
    return shadow


def _key(members: Members) -> PickerKey:
    key = PickerKey(
        max_concurrency=members.optional(partial(members.integer, least=1), "maxConcurrency"),
        exhausted_until=members.optional(members.number, "exhaustedUntil"),
    )
    members.end()
    return key


def _host(members: Members) -> PickerHost:
    host = PickerHost(
        address=members.text("address"),
        slots=members.integer("slots", least=1),
        clusters=members.texts("clusters"),
        healthy=members.truth("healthy"),
        priority=members.integer("priority"),
    )
    members.end()
    return host
