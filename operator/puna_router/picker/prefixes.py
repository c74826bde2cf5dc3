"""Memory of prefixes: which servers have read the beginning of which prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

LIMIT: Final = 65_536
"""Prefixes that are remembered, of all endpoints together: some 15 MiB."""
HOLDERS: Final = 8
"""Servers that are remembered for one prefix."""

ServerT = TypeVar("ServerT")


Prefix: TypeAlias = tuple[bytes, int]
"""One beginning of a prompt: its digest, and how much of the prompt it covers, in bytes."""


class Match(NamedTuple):
    """What a server remembers of a prompt."""

    size: int
    """How much of it, in bytes."""
    shared: bool
    """Prompts have gone on differently from there: it is no one conversation's own."""


class _Known(NamedTuple, Generic[ServerT]):
    holders: tuple[ServerT, ...]
    next: bytes
    """The prefix that came behind it first; empty while none has."""
    shared: bool


class PrefixMemory(Generic[ServerT]):
    """The newest holders of the most recently seen prefixes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, _Known[ServerT]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, chain: Sequence[Prefix], server: ServerT) -> None:
        """Note that a server reads a prompt; the shortest prefix is forgotten last."""
        known = self._known
        behind = b""
        for digest, _ in reversed(chain):
            found = known.get(digest)
            if found is None:
                known[digest] = _Known((server,), behind, shared=False)
            else:
                known.move_to_end(digest)
                holders, first, shared = found
                if holders[0] is not server:
                    others = (other for other in holders if other is not server)
                    holders = (server, *others)[:HOLDERS]
                if behind:
                    shared = shared or first not in (b"", behind)
                    first = first or behind
                if found != (holders, first, shared):
                    known[digest] = _Known(holders, first, shared)
            behind = digest
        while len(known) > self._limit:
            known.popitem(last=False)

    def matches(self, chain: Sequence[Prefix]) -> dict[ServerT, Match]:
        """What each server remembers of a prompt; those that remember nothing are absent."""
        matches: dict[ServerT, Match] = {}
        for digest, size in reversed(chain):
            found = self._known.get(digest)
            if found is not None:
                for server in found.holders:
                    if server not in matches:
                        matches[server] = Match(size, found.shared)
        return matches
