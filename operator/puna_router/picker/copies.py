"""Copies of requests that are under way, by the server on which each has a slot."""

from __future__ import annotations

from collections.abc import Iterator

from puna_router.picker.endpoint import Ticket
from puna_router.picker.slots import Server


class Copies:
    """Copies in order of arrival. They hold slots that they give up to whoever needs one."""

    def __init__(self) -> None:
        self._by_server: dict[Server, dict[Ticket, None]] = {}

    def enter(self, ticket: Ticket, server: Server) -> None:
        """Note a copy that has a slot from now on."""
        self._by_server.setdefault(server, {})[ticket] = None
        server.yielding += 1

    def leave(self, ticket: Ticket, server: Server) -> None:
        """Note a copy that has none any more."""
        found = self._by_server[server]
        del found[ticket]
        server.yielding -= 1
        if not found:
            del self._by_server[server]

    def newest(self, server: Server) -> Ticket:
        """The copy on a server that has got least so far; there has to be one."""
        return next(reversed(self._by_server[server]))

    def unwanted(self) -> tuple[Ticket, ...]:
        """Copies that have to go: their cluster gets none any more, or too few slots are spared."""
        return tuple(ticket for server in self._by_server for ticket in self._unwanted_on(server))

    def _unwanted_on(self, server: Server) -> Iterator[Ticket]:
        free = server.slots - server.in_flight
        for ticket in reversed(self._by_server[server]):
            shadow = ticket.endpoint.shadow_of(ticket.request.cluster)
            if shadow is None or free < shadow.spare:
                free += 1
                yield ticket
