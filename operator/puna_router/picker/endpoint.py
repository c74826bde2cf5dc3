"""One endpoint at work: its servers, its queue and its counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from puna_router.picker.choose import Prompt, filter_free, filter_usable
from puna_router.picker.config import PickerEndpoint, PickerShadow
from puna_router.picker.counters import Counters
from puna_router.picker.fair_queue import FairQueue
from puna_router.picker.share import Share
from puna_router.picker.slots import Ledger, Server
from puna_router.picker.state import EndpointState, HostState


class Request(NamedTuple):
    """One request, as far as the picker is concerned with it."""

    cluster: str = ""
    """Envoy cluster that its route has chosen."""
    target: str = ""
    """Model that it asks for: the endpoint's name, or that with a preset behind a colon."""
    key: str = ""
    """Name of its API key; "" without one."""
    takes_slot: bool = True
    prompt: Prompt = Prompt()
    id: str = ""
    """Its `x-request-id`."""
    is_copy: bool = False
    """Whether it copies another one: it takes what is free, never waits, and gives way."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request that waits or runs, until it is done."""

    request: Request
    endpoint: Endpoint
    arrived: float
    """When, in seconds."""
    server: Server | None = None
    """Where it runs."""
    waits: bool = False


@dataclass(slots=True, eq=False)
class Endpoint:
    """One endpoint. It outlives its document while requests are under way, and is found again."""

    name: str
    rules: PickerEndpoint
    share: Share = field(default_factory=Share)
    queue: FairQueue[Ticket] = field(default_factory=FairQueue)
    counters: Counters = field(default_factory=Counters)
    under_way: dict[str, int] = field(default_factory=dict)
    """Requests that wait or run, by key."""
    servers: tuple[Server, ...] = ()
    """One for each host of the document."""
    pools: dict[str, tuple[Server, ...]] = field(default_factory=dict)
    """Servers that may get requests, by cluster."""
    everywhere: tuple[Server, ...] = ()
    """Servers that may get requests of any cluster."""
    for_copies: tuple[Server, ...] = ()
    """Servers that may get copies of requests."""
    homes: dict[Server, str] = field(default_factory=dict)
    """A cluster of each server, for requests of clusters that have none."""

    @property
    def depth(self) -> int:
        """Requests that may wait here."""
        return self.share.part(self.rules.queue.max_depth)

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return not self.under_way

    def apply(self, rules: PickerEndpoint, share: Share, ledger: Ledger) -> None:
        """Follow a document whose servers are in the ledger."""
        self.rules = rules
        self.share = share
        self.servers = tuple(ledger.server(host.address) for host in rules.hosts)
        self.pools = {
            cluster: tuple(ledger.server(found) for found in filter_usable(rules.hosts, cluster))
            for cluster in rules.clusters
        }
        self.everywhere = tuple(ledger.server(found) for found in filter_usable(rules.hosts, None))
        self.for_copies = self._for_copies()
        self.homes = {
            server: cluster
            for host, server in zip(rules.hosts, self.servers, strict=True)
            for cluster in reversed(host.clusters)
        }

    def shadow_of(self, cluster: str) -> PickerShadow | None:
        """How copies of requests go to a cluster; None if none do."""
        shadow = self.rules.shadow if self.pools else None
        return shadow if shadow is not None and shadow.cluster == cluster else None

    def _for_copies(self) -> tuple[Server, ...]:
        shadow = self.rules.shadow
        if shadow is None:
            return ()
        usable = self.pools.get(shadow.cluster, ())
        return tuple(server for server in usable if server.address in shadow.addresses)

    def withdraw(self) -> None:
        """Have no servers any more: the endpoint is in no document."""
        self.servers = self.everywhere = self.for_copies = ()
        self.pools = {}
        self.homes = {}

    def pool(self, cluster: str) -> Sequence[Server]:
        """Servers that may get a request of a cluster.

        Where the cluster has none, those of any other: the request is routed to one of theirs.
        """
        return self.pools.get(cluster) or self.everywhere

    def ready(self) -> frozenset[str]:
        """Clusters for which a request waits although there is a free slot."""
        return frozenset(lane for lane in self.queue.lanes() if filter_free(self.pool(lane)))

    def enter(self, ticket: Ticket) -> None:
        """Count a request that waits or runs from now on."""
        key = ticket.request.key
        self.under_way[key] = self.under_way.get(key, 0) + 1

    def exit(self, ticket: Ticket) -> None:
        """Count a request that neither waits nor runs any more."""
        key = ticket.request.key
        self.under_way[key] -= 1
        if not self.under_way[key]:
            del self.under_way[key]

    def state(self) -> EndpointState:
        """What the endpoint says of itself."""
        counters = self.counters
        return EndpointState(
            depth=len(self.queue),
            max_depth=self.depth,
            waiting=self.queue.waiting(),
            hosts={
                host.address: HostState(server.slots, server.in_flight, host.healthy)
                for host, server in zip(self.rules.hosts, self.servers, strict=False)
            },
            picked=counters.picked,
            ended=counters.ended,
            cancelled=counters.cancelled,
            rejected={reason.value: count for reason, count in counters.rejected.items()},
            waits=counters.waits(),
            prefix_hits=counters.prefix_hits,
            prefix_misses=counters.prefix_misses,
        )
