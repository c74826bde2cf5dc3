"""`GET /state`: what a picker says of itself. Standard library only; control imports it too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from puna_router.picker.members import Members

WAIT_BOUNDS: Final = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of waits, in seconds; one more takes the rest."""


class WaitState(NamedTuple):
    """How long requests waited that then got a slot."""

    buckets: tuple[int, ...]
    """Requests in each bucket of `WAIT_BOUNDS` by itself, and those above the last bound."""
    seconds: float
    """Sum of their waits."""


class HostState(NamedTuple):
    """One server."""

    slots: int
    """Requests that this router may send there at once."""
    in_flight: int
    healthy: bool


class EndpointState(NamedTuple):
    """One endpoint. What counts up does so since the picker's start."""

    depth: int
    """Requests that wait."""
    max_depth: int
    """Requests that may wait in this router."""
    waiting: Mapping[str, int]
    """Requests that wait, by name of their key; "" for those without."""
    hosts: Mapping[str, HostState]
    """By address."""
    picked: int
    """Requests that got a slot."""
    ended: int
    """Requests whose slot is free again."""
    cancelled: int
    """Requests whose client left while they waited."""
    rejected: Mapping[str, int]
    """Requests that were refused, by reason."""
    waits: WaitState
    prefix_hits: int
    """Requests whose server remembered some of their prompt."""
    prefix_misses: int
    """Requests with a prompt whose server remembered none of it."""


class PickerState(NamedTuple):
    """The whole answer."""

    endpoints: Mapping[str, EndpointState]
    problem: str | None = None
    """Why picker.json is not followed; None while it is."""
    version: str | None = None
    """Version of the document that is followed; None while there is none."""

    def to_json(self) -> str:
        """The answer as JSON."""
        document = {
            "endpoints": {name: _written(found) for name, found in self.endpoints.items()},
            "problem": self.problem,
            "version": self.version,
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> PickerState:
        """Read an answer.

        Raises:
            DocumentError: It is not what it has to be; the message names the member.
        """
        members = Members.parse(text)
        return cls(
            endpoints={
                name: _endpoint(found) for name, found in members.named_objects("endpoints")
            },
            problem=members.optional(members.text, "problem"),
            version=members.optional(members.text, "version"),
        )


def _written(endpoint: EndpointState) -> dict[str, Any]:
    return {
        "depth": endpoint.depth,
        "maxDepth": endpoint.max_depth,
        "waiting": dict(endpoint.waiting),
        "hosts": {
            address: {"slots": host.slots, "inFlight": host.in_flight, "healthy": host.healthy}
            for address, host in endpoint.hosts.items()
        },
        "picked": endpoint.picked,
        "ended": endpoint.ended,
        "cancelled": endpoint.cancelled,
        "rejected": dict(endpoint.rejected),
        "waits": {"buckets": list(endpoint.waits.buckets), "seconds": endpoint.waits.seconds},
        "prefixHits": endpoint.prefix_hits,
        "prefixMisses": endpoint.prefix_misses,
    }


def _endpoint(members: Members) -> EndpointState:
    waits = members.object("waits")
    return EndpointState(
        depth=members.integer("depth"),
        max_depth=members.integer("maxDepth"),
        waiting=members.integers("waiting"),
        hosts={
            address: HostState(
                slots=host.integer("slots"),
                in_flight=host.integer("inFlight"),
                healthy=host.truth("healthy"),
            )
            for address, host in members.named_objects("hosts")
        },
        picked=members.integer("picked"),
        ended=members.integer("ended"),
        cancelled=members.integer("cancelled"),
        rejected=members.integers("rejected"),
        waits=WaitState(waits.counts("buckets"), waits.number("seconds")),
        prefix_hits=members.integer("prefixHits"),
        prefix_misses=members.integer("prefixMisses"),
    )
