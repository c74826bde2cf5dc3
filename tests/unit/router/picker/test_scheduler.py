from __future__ import annotations

from typing import Any

import pytest

from puna_router.picker.choose import Prompt
from puna_router.picker.config import HOLD_MARGIN, PickerConfig, PickerKey, Strategy
from puna_router.picker.endpoint import Request, Ticket
from puna_router.picker.refusals import Refusal
from puna_router.picker.scheduler import Decision, Hold, Pick, Scheduler
from puna_router.picker.state import EndpointState, HostState
from tests.unit.router.picker.configs import CLUSTER, chat, config, host


class Desk:
    """A scheduler, and what it has said to each request, in words."""

    def __init__(self, document: PickerConfig) -> None:
        self.scheduler = Scheduler()
        self.tickets: dict[str, Ticket] = {}
        self.told: list[str] = []
        self.configure(document)

    def configure(self, document: PickerConfig, now: float = 0.0) -> list[str]:
        return self._note(self.scheduler.configure(document, now))

    def arrive(self, name: str, now: float = 0.0, *, wall: float = 0.0, **more: Any) -> list[str]:
        """`name` begins with the key: `alice1`."""
        given = {"cluster": CLUSTER, "key": name.rstrip("0123456789"), **more}
        ticket, decisions = self.scheduler.arrive(Request(**given), now, wall)
        if ticket is None:
            return ["nothing"]
        self.tickets[name] = ticket
        return self._note(decisions)

    def leave(self, name: str, now: float = 0.0) -> list[str]:
        return self._note(self.scheduler.leave(self.tickets[name], now))

    def expire(self, now: float) -> list[str]:
        return self._note(self.scheduler.expire(now))

    @property
    def state(self) -> EndpointState:
        return self.scheduler.state()["chat"]

    def _note(self, decisions: list[Decision]) -> list[str]:
        names = {id(ticket): name for name, ticket in self.tickets.items()}
        return [f"{names[id(ticket)]}: {word(answer)}" for ticket, answer in decisions]


def word(answer: Pick | Hold | Refusal) -> str:
    if isinstance(answer, Pick):
        return answer.address + (f" in {answer.cluster}" if answer.cluster else "")
    return "waits" if isinstance(answer, Hold) else answer.reason.value


def test_requests_get_slots_then_places_then_a_refusal() -> None:
    desk = Desk(config(host("s", 2), depth=1))
    assert [desk.arrive(name) for name in ("x1", "x2", "x3")] == [
        ["x1: s"],
        ["x2: s"],
        ["x3: waits"],
    ]
    assert desk.arrive("x4") == ["x4: queue_full"]
    assert desk.leave("x1", 3.0) == ["x3: s"]
    assert desk.leave("x4") == []
    assert desk.leave("x2") == desk.leave("x3") == []
    state = desk.state
    assert (state.picked, state.ended, state.depth) == (3, 3, 0)
    assert state.rejected == {"queue_full": 1}
    assert state.hosts == {"s": HostState(slots=2, in_flight=0, healthy=True)}
    assert state.waits.seconds == 3.0


def test_envoy_is_told_to_wait_for_longer_than_the_queue_does() -> None:
    desk = Desk(config(host("s"), timeout=30))
    desk.arrive("x1")
    _, decisions = desk.scheduler.arrive(Request(cluster=CLUSTER), 0.0, 0.0)
    assert [answer for _, answer in decisions] == [Hold(30 + HOLD_MARGIN)]


def test_the_newest_of_the_key_with_the_most_waiting_gives_way() -> None:
    desk = Desk(config(host("s"), depth=3))
    for name in ("flood0", "flood1", "flood2", "flood3"):
        desk.arrive(name)
    assert desk.arrive("polite1") == ["flood3: queue_full", "polite1: waits"]
    assert desk.arrive("flood4") == ["flood4: queue_full"]
    assert desk.state.waiting == {"flood": 2, "polite": 1}
    assert desk.leave("flood0") == ["flood1: s"]
    assert desk.leave("flood1") == ["polite1: s"]


def test_a_client_that_leaves_frees_its_place_or_its_slot() -> None:
    desk = Desk(config(host("s"), depth=1))
    desk.arrive("x1")
    desk.arrive("x2")
    assert desk.leave("x2") == []
    assert (desk.state.depth, desk.state.cancelled) == (0, 1)
    desk.arrive("x3")
    assert desk.leave("x1") == ["x3: s"]
    assert desk.leave("x1") == []


def test_who_has_waited_for_too_long_is_told_so() -> None:
    desk = Desk(config(host("s"), timeout=10))
    desk.arrive("x1", 0.0)
    desk.arrive("x2", 1.0)
    desk.arrive("x3", 2.0)
    assert desk.expire(10.9) == []
    assert desk.expire(11.0) == ["x2: queue_timeout"]
    assert desk.leave("x1", 11.5) == ["x3: s"]


@pytest.mark.parametrize("hosts", [(), (host("s", healthy=False),)])
def test_without_a_healthy_host_requests_wait_while_one_is_expected(hosts: Any) -> None:
    desk = Desk(config(*hosts, expected=1, timeout=10))
    assert desk.arrive("x1") == ["x1: waits"]
    assert desk.expire(10) == ["x1: no_healthy_endpoint"]
    assert desk.arrive("x2", 10) == ["x2: waits"]
    assert desk.configure(config(host("s"), expected=1), 12) == ["x2: s"]


def test_without_a_healthy_host_none_waits_if_none_is_expected() -> None:
    desk = Desk(config(expected=1))
    assert desk.arrive("x1") == ["x1: waits"]
    assert desk.configure(config(expected=0)) == ["x1: no_healthy_endpoint"]
    assert desk.arrive("x2") == ["x2: no_healthy_endpoint"]


def test_requests_of_a_cluster_without_hosts_go_to_one_that_has_some() -> None:
    desk = Desk(config(host("old", 1, "chat-a"), expected=1))
    desk.arrive("x1")
    assert desk.arrive("x2") == ["x2: waits"]
    replaced = config(host("new", 1, "chat-b"), expected=1)
    assert desk.configure(replaced) == ["x2: new in chat-b"]
    # A request that Envoy routed to no cluster of ours is known by the model that it asks for.
    desk.arrive("x3", cluster="no-backends", target="chat:precise")
    assert desk.leave("x2") == ["x3: new in chat-b"]


def test_a_blocked_cluster_holds_up_no_other() -> None:
    desk = Desk(config(host("a", 1, "chat-a"), host("b", 1, "chat-b")))
    desk.arrive("x1", cluster="chat-a")
    assert desk.arrive("x2", cluster="chat-a") == ["x2: waits"]
    assert desk.arrive("x3", cluster="chat-b") == ["x3: b"]
    desk.arrive("x4", cluster="chat-b")
    assert desk.leave("x3") == ["x4: b"]
    assert desk.leave("x1") == ["x2: a"]


def test_slots_are_counted_by_address_whatever_the_cluster() -> None:
    desk = Desk(config(host("s", 1, "chat-a", "chat-b")))
    assert desk.arrive("x1", cluster="chat-a") == ["x1: s"]
    assert desk.arrive("x2", cluster="chat-b") == ["x2: waits"]


def test_two_endpoints_share_a_server_and_take_turns() -> None:
    both = PickerConfig({"chat": chat(host("s", 2)), "code": chat(host("s", 1, "code"))})
    desk = Desk(both)
    desk.arrive("x1")
    for name, cluster in (("y1", "code"), ("x2", CLUSTER), ("y2", "code"), ("x3", CLUSTER)):
        assert desk.arrive(name, cluster=cluster) == [f"{name}: waits"]
    assert desk.leave("x1") == ["y1: s"]
    assert desk.leave("y1") == ["x2: s"]
    assert desk.leave("x2") == ["y2: s"]


def test_a_key_has_no_more_under_way_than_it_may_waiting_ones_too() -> None:
    desk = Desk(config(host("s"), keys={"alice": PickerKey(max_concurrency=2)}))
    assert desk.arrive("alice1") == ["alice1: s"]
    assert desk.arrive("alice2") == ["alice2: waits"]
    assert desk.arrive("alice3") == ["alice3: key_concurrency"]
    assert desk.arrive("bob1") == ["bob1: waits"]
    desk.leave("alice2")
    assert desk.arrive("alice4") == ["alice4: waits"]


def test_a_key_without_tokens_is_told_when_it_has_some_again() -> None:
    keys = {"alice": PickerKey(exhausted_until=1000.0)}
    desk = Desk(config(host("s"), keys=keys))
    request = Request(cluster=CLUSTER, key="alice")
    _, ((_, refusal),) = desk.scheduler.arrive(request, 0.0, 990.5)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason.value, refusal.retry_after) == (
        429,
        "tokens_exhausted",
        10,
    )
    assert desk.arrive("alice1", wall=1000.0) == ["alice1: s"]


def test_what_takes_no_slot_or_has_no_endpoint_is_left_to_envoy() -> None:
    desk = Desk(config(host("s")))
    assert desk.arrive("x1", takes_slot=False) == ["nothing"]
    assert desk.arrive("x2", cluster="other") == ["nothing"]
    assert desk.state.picked == 0


def test_a_host_that_goes_keeps_its_requests_and_has_them_when_it_comes_back() -> None:
    desk = Desk(config(host("s"), expected=1))
    desk.arrive("x1")
    desk.configure(config(expected=1))
    assert desk.arrive("x2") == ["x2: waits"]
    assert desk.configure(config(host("s"), expected=1)) == []
    assert desk.leave("x1") == ["x2: s"]


def test_an_endpoint_that_goes_lets_nobody_wait_and_is_found_again() -> None:
    desk = Desk(config(host("s"), keys={"alice": PickerKey(max_concurrency=1)}))
    desk.arrive("alice1")
    desk.arrive("bob1")
    assert desk.configure(PickerConfig()) == ["bob1: no_healthy_endpoint"]
    desk.configure(config(host("s"), keys={"alice": PickerKey(max_concurrency=1)}))
    assert desk.arrive("alice2") == ["alice2: key_concurrency"]
    desk.leave("alice1")
    assert desk.arrive("alice3") == ["alice3: s"]
    assert desk.state.picked == 2


def test_the_end_of_an_old_request_forgets_no_endpoint_of_the_same_name() -> None:
    served = config(host("s", 2), keys={"alice": PickerKey(max_concurrency=1)})
    desk = Desk(config())
    assert desk.arrive("bob1") == ["bob1: no_healthy_endpoint"]
    desk.configure(PickerConfig())
    desk.configure(served)
    desk.arrive("alice1")
    desk.configure(PickerConfig())
    desk.leave("bob1")
    desk.configure(served)
    assert desk.arrive("alice2") == ["alice2: key_concurrency"]


def test_a_queue_that_becomes_shorter_refuses_those_who_have_no_place() -> None:
    desk = Desk(config(host("s"), depth=5))
    for name in ("x1", "x2", "x3", "y1"):
        desk.arrive(name)
    assert desk.configure(config(host("s"), depth=1)) == ["x3: queue_full", "y1: queue_full"]


def test_more_slots_are_given_to_those_who_wait() -> None:
    desk = Desk(config(host("s")))
    for name in ("x1", "x2", "x3", "x4"):
        desk.arrive(name)
    assert desk.configure(config(host("s", 3)), 1.0) == ["x2: s", "x3: s"]


def test_each_router_has_its_share() -> None:
    keys = {"alice": PickerKey(max_concurrency=4)}
    desk = Desk(config(host("s", 4), depth=3, keys=keys, share=2, index=1))
    assert (desk.state.hosts["s"].slots, desk.state.max_depth) == (2, 1)
    desk.arrive("alice1")
    desk.arrive("alice2")
    assert desk.arrive("alice3") == ["alice3: key_concurrency"]


def test_none_waits_where_there_is_no_queue() -> None:
    desk = Desk(config(host("s"), depth=0, share=3))
    desk.arrive("x1")
    assert desk.arrive("x2") == ["x2: queue_full"]


def test_a_conversation_stays_with_its_server() -> None:
    desk = Desk(config(*(host(name, 4) for name in "abcd")))
    system = ((b"system", 1000),)
    homes: dict[int, str] = {}
    for turn in range(3):
        for talk in range(8):
            turns = tuple((b"%d/%d" % (talk, at), 2000 + 500 * at) for at in range(turn + 1))
            prompt = Prompt(system + turns, b"%d" % talk)
            (told,) = desk.arrive(f"x{talk}", prompt=prompt)
            assert homes.setdefault(talk, told) == told
            desk.leave(f"x{talk}")
    assert len({told.split()[1] for told in homes.values()}) > 1
    state = desk.state
    assert state.prefix_hits + state.prefix_misses == 24
    assert state.prefix_hits >= 16


def test_in_turn_and_least_busy_remember_nothing() -> None:
    for strategy in (Strategy.ROUND_ROBIN, Strategy.LEAST_BUSY):
        desk = Desk(config(host("a", 4), host("b", 4), strategy=strategy))
        prompt = Prompt(((b"x", 10),), b"7")
        told = [desk.arrive(f"x{number}", prompt=prompt)[0][-1] for number in range(4)]
        assert told == ["a", "b", "a", "b"]
        assert desk.state.prefix_hits == desk.state.prefix_misses == 0


def test_nothing_is_stuck_while_slots_are_given_out() -> None:
    desk = Desk(config(host("s")))
    assert not desk.scheduler.is_stuck()
    desk.arrive("x1")
    desk.arrive("x2")
    assert not desk.scheduler.is_stuck()
    # What no event of ours does: a slot becomes free behind the scheduler's back.
    server = desk.tickets["x1"].server
    assert server is not None
    server.in_flight -= 1
    assert desk.scheduler.is_stuck()
