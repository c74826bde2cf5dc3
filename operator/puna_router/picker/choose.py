"""Which server gets a request: filter, score, pick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from puna_router.picker.config import PickerHost, Strategy
from puna_router.picker.prefixes import Match, Prefix, PrefixMemory
from puna_router.picker.rendezvous import seed, weight
from puna_router.picker.slots import Server

BOUND: Final = 1.25
"""How much fuller than the mean a server may become for the sake of what others share with it.

A conversation stays with its server as long as that has a free slot: to read it anew elsewhere
takes longer than to share a server. What many prompts begin with is soon remembered everywhere.
"""
LEAST_SHARED: Final = 0.5
"""Share of a prompt up to which what it has in common with others does not count: conversations
that begin with the same few words are spread by their owners."""
_MERIT: Final = itemgetter(0, 1, 2)
_NOTHING: Final = Match(0, shared=False)


class Prompt(NamedTuple):
    """What a choice knows of a prompt."""

    chain: tuple[Prefix, ...] = ()
    """Its prefixes, the shortest first."""
    affinity: bytes = b""
    """What stands for its first part: it decides who owns the prompt."""


class Scored(NamedTuple):
    """A server and what speaks for it; the greater tuple wins."""

    match: float
    """Share of the prompt that it remembers, 0 to 1."""
    prior: float
    """What decides between equal matches."""
    rest: int
    """Picks since its last one: what decides between equals."""
    server: Server


def filter_usable(hosts: Iterable[PickerHost], cluster: str | None) -> tuple[str, ...]:
    """Addresses that may get requests of a cluster, or of any if it is None.

    They are healthy, and there is none of a lower priority number.
    """
    healthy = [
        host for host in hosts if host.healthy and (cluster is None or cluster in host.clusters)
    ]
    first = min((host.priority for host in healthy), default=0)
    return tuple(host.address for host in healthy if host.priority == first)


def filter_free(servers: Sequence[Server]) -> list[Server]:
    """Servers with a free slot; where none has one, those on which a copy gives way."""
    free = [server for server in servers if server.in_flight < server.slots]
    return free or [
        server
        for server in servers
        if server.yielding and server.in_flight - server.yielding < server.slots
    ]


def filter_spare(servers: Iterable[Server], spare: int) -> list[Server]:
    """Servers with more than so many free slots."""
    return [server for server in servers if server.slots - server.in_flight > spare]


def score(
    strategy: Strategy,
    free: Sequence[Server],
    usable: Sequence[Server],
    prompt: Prompt,
    memory: PrefixMemory[Server],
) -> list[Scored]:
    """What speaks for each of the free servers; `usable` are those that share the load."""
    if strategy is Strategy.ROUND_ROBIN:
        return [Scored(0.0, 0.0, -server.turn, server) for server in free]
    if strategy is Strategy.LEAST_BUSY or not prompt.chain:
        return [Scored(0.0, server.free / server.slots, -server.turn, server) for server in free]
    return _affinity(free, usable, prompt, memory.matches(prompt.chain))


def pick(scored: Iterable[Scored]) -> Scored:
    """The best one."""
    return max(scored, key=_MERIT)


def _affinity(
    free: Sequence[Server],
    usable: Sequence[Server],
    prompt: Prompt,
    matches: Mapping[Server, Match],
) -> list[Scored]:
    size = prompt.chain[-1][1] or 1
    capacity, in_flight = 0, 1
    for server in usable:
        capacity += server.slots
        in_flight += server.in_flight
    load = BOUND * in_flight / capacity
    within: list[tuple[float, Server]] = []
    scored: list[Scored] = []
    for server in free:
        remembered, shared = matches.get(server, _NOTHING)
        match = min(1.0, remembered / size)
        if shared and match <= LEAST_SHARED:
            match = 0.0
        if server.in_flight + 1 > max(1.0, load * server.slots) and (shared or not match):
            scored.append(Scored(0.0, -server.in_flight / server.slots, -server.turn, server))
        else:
            within.append((match, server))
    matched = [match for match, _ in within]
    best = max(matched, default=0.0)
    is_tied = matched.count(best) > 1
    owner = seed(prompt.affinity) if is_tied else 0
    for match, server in within:
        # Who owns the prompt matters only between those that remember most of it.
        decides = is_tied and match == best
        prior = weight(owner, server.seed, server.slots) if decides else 0.0
        scored.append(Scored(match, prior, -server.turn, server))
    return scored
