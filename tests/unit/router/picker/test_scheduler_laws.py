"""Laws of the scheduler under any order of events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from puna_router.picker.choose import Prompt
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
    PickerShadow,
    Strategy,
)
from puna_router.picker.endpoint import Request, Ticket
from puna_router.picker.refusals import Refusal
from puna_router.picker.scheduler import Decision, Hold, Pick, Scheduler

CLUSTERS = ("a", "b")
ADDRESSES = ("s1", "s2", "s3")
HOSTS = st.lists(
    st.builds(
        PickerHost,
        address=st.sampled_from(ADDRESSES),
        slots=st.integers(1, 3),
        clusters=st.sets(st.sampled_from(CLUSTERS), min_size=1).map(tuple),
        healthy=st.booleans(),
        priority=st.integers(0, 1),
    ),
    max_size=3,
    unique_by=lambda found: found.address,
).map(tuple)


def endpoints(prefix: str) -> st.SearchStrategy[PickerEndpoint]:
    """Endpoints with clusters of their own, on the same servers."""
    return st.builds(
        PickerEndpoint,
        clusters=st.just(tuple(prefix + cluster for cluster in CLUSTERS)),
        hosts=HOSTS.map(
            lambda hosts: tuple(
                PickerHost(
                    found.address,
                    found.slots,
                    tuple(prefix + cluster for cluster in found.clusters),
                    found.healthy,
                    found.priority,
                )
                for found in hosts
            )
        ),
        strategy=st.sampled_from(Strategy),
        queue=st.builds(PickerQueue, st.integers(0, 4), st.sampled_from([1.0, 5.0])),
        expected=st.integers(0, 1),
        keys=st.dictionaries(
            st.sampled_from("xy"), st.builds(PickerKey, st.none() | st.integers(1, 3)), max_size=2
        ),
        shadow=st.none()
        | st.builds(
            PickerShadow,
            st.just(f"{prefix}b"),
            st.sets(st.sampled_from(ADDRESSES)).map(tuple),
            st.integers(0, 1),
        ),
    )


CONFIGS = st.builds(
    PickerConfig,
    endpoints=st.fixed_dictionaries({}, optional={"chat": endpoints("c"), "code": endpoints("d")}),
    share=st.just(2),
    share_index=st.integers(0, 1),
)
REQUESTS = st.builds(
    Request,
    cluster=st.sampled_from(["ca", "cb", "da", "db", "other"]),
    target=st.sampled_from(["chat", "code:precise", "nothing"]),
    key=st.sampled_from(["x", "y", "z", ""]),
    is_copy=st.sampled_from([False, False, True]),
    prompt=st.sampled_from([Prompt(), Prompt(((b"p", 9),), b"1"), Prompt(((b"q", 5),), b"2")]),
)


class SchedulerLaws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.now = 0.0
        self.waiting: dict[Ticket, None] = {}
        self.running: dict[Ticket, str] = {}
        """Tickets with their addresses."""
        self.refused: list[Ticket] = []

    @rule(document=CONFIGS)
    def configure(self, document: PickerConfig) -> None:
        before = self.in_flight()
        self.follow(self.scheduler.configure(document, self.now))
        self.document = document
        for address, count in self.in_flight().items():
            # Requests stay where they are; nobody is sent where there is no slot.
            assert count <= max(before.get(address, 0), self.slots(address))
        for ticket, address in self.copies().items():
            shadow = ticket.endpoint.rules.shadow
            assert shadow is not None
            assert shadow.cluster == ticket.request.cluster
            assert self.in_flight()[address] + shadow.spare <= self.slots(address)

    @rule(request=REQUESTS)
    def arrive(self, request: Request) -> None:
        ticket, decisions = self.scheduler.arrive(request, self.now, 0.0)
        if request.is_copy:
            # It has a slot or none, and that is all.
            assert [type(decision.answer) for decision in decisions] in ([], [Pick], [Refusal])
        if ticket is not None:
            assert ticket in [decision.ticket for decision in decisions]
        self.follow(decisions)

    @rule(choice=st.integers(0, 10**6), again=st.booleans())
    def leave(self, choice: int, again: bool) -> None:  # noqa: FBT001
        tickets = [*self.waiting, *self.running, *self.refused[-1:]]
        if not tickets:
            return
        ticket = tickets[choice % len(tickets)]
        self.waiting.pop(ticket, None)
        self.running.pop(ticket, None)
        self.follow(self.scheduler.leave(ticket, self.now))
        if again:
            assert self.scheduler.leave(ticket, self.now) == []

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.follow(self.scheduler.expire(self.now))
        for ticket in self.waiting:
            assert self.now - ticket.arrived < ticket.endpoint.rules.queue.timeout_seconds

    def follow(self, decisions: list[Decision]) -> None:
        for ticket, answer in decisions:
            if ticket in self.running:
                assert ticket.request.is_copy
                assert isinstance(answer, Refusal)
                del self.running[ticket]
            assert ticket not in self.refused
            if isinstance(answer, Hold):
                assert ticket not in self.waiting
                self.waiting[ticket] = None
                continue
            if isinstance(answer, Pick):
                self.first_of_its_key(ticket)
                self.running[ticket] = answer.address
            elif isinstance(answer, Refusal):
                self.refused.append(ticket)
            self.waiting.pop(ticket, None)

    def first_of_its_key(self, ticket: Ticket) -> None:
        """First in, first out within a key and what it waits for."""
        request = ticket.request
        for other in self.waiting:
            if other is ticket:
                return
            same = (other.endpoint, other.request.key, other.request.cluster)
            assert same != (ticket.endpoint, request.key, request.cluster)

    def copies(self) -> dict[Ticket, str]:
        return {ticket: at for ticket, at in self.running.items() if ticket.request.is_copy}

    def in_flight(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for address in self.running.values():
            counts[address] = counts.get(address, 0) + 1
        return counts

    def slots(self, address: str) -> int:
        """A server's slots in this router's share, as its state says."""
        return max(
            (
                state.hosts[address].slots
                for state in self.scheduler.state().values()
                if address in state.hosts
            ),
            default=0,
        )

    @invariant()
    def every_request_is_where_its_answer_says(self) -> None:
        waiting: list[Ticket] = []
        for name, state in self.scheduler.state().items():
            mine = [ticket for ticket in self.waiting if ticket.endpoint.name == name]
            waiting += mine
            assert state.depth == len(mine) <= state.max_depth
            assert sum(state.waiting.values()) == state.depth
            running = [
                ticket
                for ticket in self.running
                if ticket.endpoint.name == name and not ticket.request.is_copy
            ]
            assert state.picked - state.ended == len(running)
            assert min(state.picked, state.ended, state.cancelled, 0) == 0
            for address, host in state.hosts.items():
                assert host.in_flight == self.in_flight().get(address, 0)
        assert len(waiting) == len(self.waiting)

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        assert not self.scheduler.is_stuck()

    def teardown(self) -> None:
        while tickets := [*self.waiting, *self.running]:
            for ticket in tickets:
                self.waiting.pop(ticket, None)
                self.running.pop(ticket, None)
                self.follow(self.scheduler.leave(ticket, self.now))
        for state in self.scheduler.state().values():
            assert state.depth == 0
            assert state.picked == state.ended
            assert {host.in_flight for host in state.hosts.values()} <= {0}


SchedulerLaws.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSchedulerLaws = SchedulerLaws.TestCase
