"""Who gets a slot, who waits, who is refused: every decision, without a clock and without I/O.

Time comes in as an argument, in seconds. Each method returns the decisions that it has led to, also
those about other requests than the one it is about.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from puna_router.picker import refusals
from puna_router.picker.choose import filter_free, filter_spare, pick, score
from puna_router.picker.config import HOLD_MARGIN, PickerConfig, PickerEndpoint, Strategy
from puna_router.picker.copies import Copies
from puna_router.picker.endpoint import Endpoint, Request, Ticket
from puna_router.picker.prefixes import PrefixMemory
from puna_router.picker.refusals import Refusal
from puna_router.picker.rendezvous import seed
from puna_router.picker.share import Share
from puna_router.picker.slots import Ledger, Server
from puna_router.picker.state import EndpointState


class Pick(NamedTuple):
    """Send the request there."""

    address: str
    cluster: str | None = None
    """Envoy cluster that it has to be routed to instead of its own, which has no usable server."""


class Hold(NamedTuple):
    """Wait for another decision."""

    seconds: float
    """It comes within this time."""


Answer: TypeAlias = Pick | Hold | Refusal


class Decision(NamedTuple):
    """What becomes of one request."""

    ticket: Ticket
    answer: Answer


class Scheduler:
    """All endpoints of one router, with the slots that it may use."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}
        self._withdrawn: dict[str, Endpoint] = {}
        self._by_cluster: dict[str, Endpoint] = {}
        self._by_address: dict[str, tuple[Endpoint, ...]] = {}
        self._ledger = Ledger()
        self._memory: PrefixMemory[Server] = PrefixMemory()
        self._copies = Copies()

    def configure(self, config: PickerConfig, now: float) -> list[Decision]:
        """Follow another document. Requests that run stay where they are."""
        share = Share(config.share, config.share_index)
        self._ledger.configure(_slots(config, share))
        for name in sorted(self._endpoints.keys() - config.endpoints.keys()):
            self._withdrawn[name] = self._endpoints.pop(name)
            self._withdrawn[name].withdraw()
        for name, rules in config.endpoints.items():
            self._endpoint(name, rules).apply(rules, share, self._ledger)
        self._index()
        decisions: list[Decision] = []
        for ticket in self._copies.unwanted():
            self._cut(ticket, decisions)
        for endpoint in self._withdrawn.values():
            self._refuse_waiting(endpoint, decisions)
        self._withdrawn = {name: found for name, found in self._withdrawn.items() if not found.idle}
        for endpoint in self._endpoints.values():
            self._dispatch(endpoint, now, decisions)
            if not endpoint.everywhere and not endpoint.rules.expected:
                self._refuse_waiting(endpoint, decisions)
            self._shrink(endpoint, decisions)
        return decisions

    def arrive(
        self, request: Request, now: float, wall: float
    ) -> tuple[Ticket | None, list[Decision]]:
        """Take a request; `wall` is the time in seconds since the epoch.

        Without a ticket there is nothing to decide: it goes where Envoy sends it.
        """
        endpoint = self._by_cluster.get(request.cluster) or self._endpoints.get(
            request.target.partition(":")[0]
        )
        if endpoint is None or not request.takes_slot:
            return None, []
        ticket = Ticket(request, endpoint, now)
        if request.is_copy:
            return ticket, [self._place_copy(ticket)]
        refusal = _limit(endpoint, request.key, wall) or _absence(endpoint, request)
        if refusal is not None:
            return ticket, [_refuse(ticket, refusal)]
        endpoint.enter(ticket)
        decisions: list[Decision] = []
        if self._try(ticket, now, decisions):
            return ticket, decisions
        ticket.waits = True
        endpoint.queue.push(ticket, request.key, request.cluster)
        self._shrink(endpoint, decisions)
        if ticket.waits:
            hold = Hold(endpoint.rules.queue.timeout_seconds + HOLD_MARGIN)
            decisions.append(Decision(ticket, hold))
        return ticket, decisions

    def leave(self, ticket: Ticket, now: float) -> list[Decision]:
        """Let a request end, whatever it was doing."""
        endpoint, server = ticket.endpoint, ticket.server
        decisions: list[Decision] = []
        if ticket.waits:
            endpoint.counters.cancelled += 1
            self._drop(ticket)
        elif server is not None:
            ticket.server = None
            if ticket.request.is_copy:
                self._copies.leave(ticket, server)
            else:
                endpoint.counters.ended += 1
                endpoint.exit(ticket)
            self._ledger.release(server)
            waiting = [found for found in self._by_address.get(server.address, ()) if found.queue]
            # Who shares the server with others comes after them.
            for other in sorted(waiting, key=lambda found: found is endpoint):
                self._dispatch(other, now, decisions)
        # Another one of this name may be there by now.
        if endpoint.idle and self._withdrawn.get(endpoint.name) is endpoint:
            del self._withdrawn[endpoint.name]
        return decisions

    def expire(self, now: float) -> list[Decision]:
        """Refuse those that have waited for too long."""
        decisions: list[Decision] = []
        for endpoint in self._endpoints.values():
            longest = endpoint.rules.queue.timeout_seconds
            while (ticket := endpoint.queue.oldest()) and now - ticket.arrived >= longest:
                refusal = (
                    refusals.queue_timeout(longest)
                    if endpoint.pool(ticket.request.cluster)
                    else refusals.no_healthy_endpoint()
                )
                self._drop(ticket)
                decisions.append(_refuse(ticket, refusal))
        return decisions

    def is_stuck(self) -> bool:
        """Whether a request waits although there is a slot for it."""
        return any(endpoint.queue and endpoint.ready() for endpoint in self._endpoints.values())

    def state(self) -> dict[str, EndpointState]:
        """What every endpoint says of itself."""
        return {name: endpoint.state() for name, endpoint in self._endpoints.items()}

    def _endpoint(self, name: str, rules: PickerEndpoint) -> Endpoint:
        if name not in self._endpoints:
            known = self._withdrawn.pop(name, None)
            self._endpoints[name] = known or Endpoint(name, rules)
        return self._endpoints[name]

    def _index(self) -> None:
        self._by_cluster = {
            cluster: endpoint
            for endpoint in self._endpoints.values()
            for cluster in endpoint.rules.clusters
        }
        sharing: dict[str, list[Endpoint]] = {}
        for endpoint in self._endpoints.values():
            for server in endpoint.servers:
                sharing.setdefault(server.address, []).append(endpoint)
        self._by_address = {address: tuple(found) for address, found in sharing.items()}

    def _dispatch(self, endpoint: Endpoint, now: float, decisions: list[Decision]) -> None:
        """Give free slots to those who wait."""
        while endpoint.queue:
            ticket = endpoint.queue.take(endpoint.ready())
            if ticket is None:
                return
            ticket.waits = False
            self._try(ticket, now, decisions)

    def _try(self, ticket: Ticket, now: float, decisions: list[Decision]) -> bool:
        """Give a request a slot if one is free, or if a copy has one; whether it has one now."""
        endpoint, request = ticket.endpoint, ticket.request
        usable = endpoint.pool(request.cluster)
        free = filter_free(usable)
        if not free:
            return False
        strategy = endpoint.rules.strategy
        best = pick(score(strategy, free, usable, request.prompt, self._memory))
        if not best.server.free:
            self._cut(self._copies.newest(best.server), decisions)
        self._ledger.take(best.server)
        ticket.server = best.server
        endpoint.counters.pick(now - ticket.arrived)
        if strategy is Strategy.PREFIX_AFFINITY and request.prompt.chain:
            endpoint.counters.remember(hit=best.match > 0)
            self._memory.remember(request.prompt.chain, best.server)
        routed = bool(endpoint.pools.get(request.cluster))
        cluster = None if routed else endpoint.homes.get(best.server)
        decisions.append(Decision(ticket, Pick(best.server.address, cluster)))
        return True

    def _place_copy(self, ticket: Ticket) -> Decision:
        """Give a copy a slot that nobody else needs, or none."""
        endpoint, request = ticket.endpoint, ticket.request
        shadow = endpoint.shadow_of(request.cluster)
        spare = [] if shadow is None else filter_spare(endpoint.for_copies, shadow.spare)
        if not spare:
            return Decision(ticket, refusals.no_free_slot())
        strategy = endpoint.rules.strategy
        best = pick(score(strategy, spare, endpoint.for_copies, request.prompt, self._memory))
        self._ledger.take(best.server)
        ticket.server = best.server
        self._copies.enter(ticket, best.server)
        if strategy is Strategy.PREFIX_AFFINITY and request.prompt.chain:
            self._memory.remember(request.prompt.chain, best.server)
        return Decision(ticket, Pick(best.server.address))

    def _cut(self, ticket: Ticket, decisions: list[Decision]) -> None:
        """End a copy that is under way."""
        server, ticket.server = ticket.server, None
        if server is not None:
            self._copies.leave(ticket, server)
            self._ledger.release(server)
            decisions.append(Decision(ticket, refusals.gave_way()))

    def _shrink(self, endpoint: Endpoint, decisions: list[Decision]) -> None:
        """Refuse those for whom the queue has no place."""
        while len(endpoint.queue) > endpoint.depth:
            ticket = endpoint.queue.take_newest_of_longest()
            self._drop(ticket)
            decisions.append(_refuse(ticket, refusals.queue_full(endpoint.depth)))

    def _refuse_waiting(self, endpoint: Endpoint, decisions: list[Decision]) -> None:
        for ticket in list(endpoint.queue):
            self._drop(ticket)
            decisions.append(_refuse(ticket, refusals.no_healthy_endpoint()))

    def _drop(self, ticket: Ticket) -> None:
        """Let a request wait no longer."""
        ticket.waits = False
        ticket.endpoint.queue.discard(ticket)
        ticket.endpoint.exit(ticket)


def _slots(config: PickerConfig, share: Share) -> dict[str, int]:
    """This router's slots of each server; of one in several endpoints the fewest count."""
    slots: dict[str, int] = {}
    for endpoint in config.endpoints.values():
        for host in endpoint.hosts:
            part = share.part(host.slots, seed(host.address.encode()))
            slots[host.address] = min(part, slots.get(host.address, part))
    return slots


def _limit(endpoint: Endpoint, key: str, wall: float) -> Refusal | None:
    """What a key's limits say to one more request."""
    rules = endpoint.rules.keys.get(key)
    if rules is None:
        return None
    if rules.exhausted_until is not None and rules.exhausted_until > wall:
        return refusals.tokens_exhausted(math.ceil(rules.exhausted_until - wall))
    if rules.max_concurrency is not None:
        most = endpoint.share.part(rules.max_concurrency)
        if endpoint.under_way.get(key, 0) >= most:
            return refusals.key_concurrency(most)
    return None


def _absence(endpoint: Endpoint, request: Request) -> Refusal | None:
    """Why there is nothing to wait for."""
    if endpoint.pool(request.cluster) or endpoint.rules.expected:
        return None
    return refusals.no_healthy_endpoint()


def _refuse(ticket: Ticket, refusal: Refusal) -> Decision:
    ticket.endpoint.counters.rejected[refusal.reason] += 1
    return Decision(ticket, refusal)
