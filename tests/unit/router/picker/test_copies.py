"""Copies of requests: what is free is theirs until somebody needs it."""

from __future__ import annotations

from puna_router.picker.config import PickerConfig, PickerShadow
from tests.unit.router.picker.configs import CLUSTER, chat, host
from tests.unit.router.picker.test_scheduler import Desk

NEW = "chat-b"


def document(slots: int = 2, *, spare: int = 0, copied: bool = True) -> PickerConfig:
    """An old server with one slot, and a new one for copies."""
    shadow = PickerShadow(NEW, ("n",), spare) if copied else None
    return PickerConfig({"chat": chat(host("o"), host("n", slots, NEW), shadow=shadow)})


def copy(desk: Desk, name: str) -> list[str]:
    return desk.arrive(name, cluster=NEW, is_copy=True)


def live(desk: Desk, name: str) -> list[str]:
    return desk.arrive(name, cluster=NEW)


def test_copies_take_free_slots_and_never_wait() -> None:
    desk = Desk(document())
    assert [copy(desk, name) for name in ("c1", "c2", "c3")] == [
        ["c1: n"],
        ["c2: n"],
        ["c3: no_free_slot"],
    ]
    assert desk.leave("c3") == desk.leave("c1") == []
    assert copy(desk, "c4") == ["c4: n"]
    state = desk.state
    assert (state.picked, state.ended, state.depth, state.rejected) == (0, 0, 0, {})
    assert state.hosts["n"].in_flight == 2


def test_the_newest_copy_gives_its_slot_to_a_request() -> None:
    desk = Desk(document())
    copy(desk, "c1")
    copy(desk, "c2")
    assert live(desk, "x1") == ["c2: gave_way", "x1: n"]
    assert live(desk, "x2") == ["c1: gave_way", "x2: n"]
    assert live(desk, "x3") == ["x3: waits"]
    assert desk.leave("c1") == desk.leave("c2") == []
    assert desk.leave("x1") == ["x3: n"]
    assert desk.state.hosts["n"].in_flight == 2


def test_a_free_slot_is_taken_before_a_copy_has_to_go() -> None:
    desk = Desk(
        PickerConfig(
            {"chat": chat(host("n", 1, NEW), host("m", 1, NEW), shadow=PickerShadow(NEW, ("n",)))}
        )
    )
    assert copy(desk, "c1") == ["c1: n"]
    assert copy(desk, "c2") == ["c2: no_free_slot"]
    assert live(desk, "x1") == ["x1: m"]
    assert live(desk, "x2") == ["c1: gave_way", "x2: n"]


def test_where_requests_go_too_a_slot_is_spared() -> None:
    desk = Desk(document(spare=1))
    assert copy(desk, "c1") == ["c1: n"]
    assert copy(desk, "c2") == ["c2: no_free_slot"]
    assert live(desk, "x1") == ["x1: n"]


def test_copies_go_when_more_is_spared_or_none_are_wanted() -> None:
    desk = Desk(document())
    copy(desk, "c1")
    copy(desk, "c2")
    assert desk.configure(document(spare=1)) == ["c2: gave_way"]
    assert desk.configure(document(copied=False)) == ["c1: gave_way"]
    assert copy(desk, "c3") == ["c3: no_free_slot"]
    desk = Desk(document())
    copy(desk, "c1")
    assert desk.configure(PickerConfig()) == ["c1: gave_way"]
    assert desk.leave("c1") == []


def test_who_waited_gets_the_slot_of_a_copy_that_ends() -> None:
    desk = Desk(document(1))
    assert desk.arrive("x1") == ["x1: o"]
    assert copy(desk, "c1") == ["c1: n"]
    assert desk.arrive("x2") == ["x2: waits"]  # for its own revision, not for the new one
    assert desk.leave("c1") == []
    assert desk.leave("x1") == ["x2: o"]


def test_copies_of_another_cluster_are_not_wanted() -> None:
    assert Desk(document()).arrive("c1", cluster=CLUSTER, is_copy=True) == ["c1: no_free_slot"]
