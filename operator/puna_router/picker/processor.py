"""ext_proc on one side, the scheduler on the other: bytes in, bytes out, no socket and no clock."""

from __future__ import annotations

from collections.abc import Iterable

from puna_router.picker import messages
from puna_router.picker.config import PickerConfig
from puna_router.picker.connection import INVALID_ARGUMENT, Connection, Ended, Message
from puna_router.picker.endpoint import Request, Ticket
from puna_router.picker.protobuf import MalformedError
from puna_router.picker.scheduler import Decision, Scheduler


class Peer:
    """One connection of Envoy's and the requests on it; Envoy has one for each of its threads."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.tickets: dict[int, Ticket] = {}
        """By stream."""


class Processor:
    """Decides for all peers. After each call, what `waiting_output` names has to be sent."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._callers: dict[Ticket, tuple[Peer, int]] = {}
        self._with_output: dict[Peer, None] = {}

    def connect(self) -> Peer:
        """Take a connection."""
        peer = Peer()
        self._with_output[peer] = None
        return peer

    def receive(self, peer: Peer, data: bytes, now: float, wall: float) -> None:
        """Take bytes of a peer; `wall` is the time in seconds since the epoch."""
        for event in peer.connection.receive(data):
            if isinstance(event, Message):
                self._take(peer, event, now, wall)
                continue
            self._leave(peer, event.stream, now)
            if isinstance(event, Ended):
                peer.connection.finish(event.stream)
        if peer.connection.closed:
            self.lose(peer, now)
        if peer.connection.has_output:
            self._with_output[peer] = None

    def lose(self, peer: Peer, now: float) -> None:
        """Let a connection and all requests on it go."""
        # Those who wait go first: the slots of the others are not for them.
        for stream in sorted(peer.tickets, key=lambda found: not peer.tickets[found].waits):
            self._leave(peer, stream, now)

    def configure(self, config: PickerConfig, now: float) -> None:
        """Follow another document."""
        self._tell(self._scheduler.configure(config, now))

    def expire(self, now: float) -> None:
        """Refuse those that have waited for too long."""
        self._tell(self._scheduler.expire(now))

    def waiting_output(self) -> tuple[Peer, ...]:
        """Peers for whom there are bytes now."""
        peers, self._with_output = tuple(self._with_output), {}
        return peers

    def _take(self, peer: Peer, message: Message, now: float, wall: float) -> None:
        stream = message.stream
        try:
            incoming = messages.read(message.content)
        except MalformedError:
            self._leave(peer, stream, now)
            peer.connection.finish(stream, INVALID_ARGUMENT)
            return
        if not isinstance(incoming, Request):
            peer.connection.send(stream, incoming.answer)
            return
        if stream in peer.tickets:
            peer.connection.send(stream, messages.going_on())
            return
        ticket, decisions = self._scheduler.arrive(incoming, now, wall)
        if ticket is None:
            peer.connection.send(stream, messages.going_on())
            return
        peer.tickets[stream] = ticket
        self._callers[ticket] = (peer, stream)
        self._tell(decisions)

    def _leave(self, peer: Peer, stream: int, now: float) -> None:
        ticket = peer.tickets.pop(stream, None)
        if ticket is not None:
            del self._callers[ticket]
            self._tell(self._scheduler.leave(ticket, now))

    def _tell(self, decisions: Iterable[Decision]) -> None:
        for ticket, answer in decisions:
            peer, stream = self._callers[ticket]
            peer.connection.send(stream, messages.answered(answer, ticket.request.id))
            self._with_output[peer] = None
