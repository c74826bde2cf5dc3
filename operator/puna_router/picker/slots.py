"""Slots of servers: how many a router may use of each, and how many it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from puna_router.picker.rendezvous import seed


@dataclass(slots=True, eq=False)
class Server:
    """One server; the object that is counted up is the one that is counted down."""

    address: str
    slots: int = 0
    """Requests that this router may send there at once; 0: it is in no document."""
    in_flight: int = 0
    turn: int = 0
    """Number of the pick that chose it last."""
    yielding: int = 0
    """Requests in flight that give way to others: copies."""
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        self.seed = seed(self.address.encode())

    @property
    def free(self) -> int:
        """Slots that can be taken."""
        return max(0, self.slots - self.in_flight)


class Ledger:
    """All servers by address.

    A server that is in no document is kept while requests are on it: if it comes back, they count.
    """

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._turns = 0

    def __len__(self) -> int:
        return len(self._servers)

    def configure(self, slots: Mapping[str, int]) -> None:
        """Set the slots of every server of a document; the others have none any more."""
        for address, count in slots.items():
            self._servers.setdefault(address, Server(address)).slots = count
        for address, server in list(self._servers.items()):
            if address not in slots:
                server.slots = 0
                self._forget(server)

    def server(self, address: str) -> Server:
        """A server of the document."""
        return self._servers[address]

    def take(self, server: Server) -> None:
        """Count a request that goes there."""
        self._turns += 1
        server.turn = self._turns
        server.in_flight += 1

    def release(self, server: Server) -> None:
        """Count a request that has ended there."""
        server.in_flight -= 1
        self._forget(server)

    def _forget(self, server: Server) -> None:
        if server.slots == 0 and server.in_flight == 0:
            self._servers.pop(server.address, None)
