"""The queue by value, and its laws against a list that is searched."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from puna_router.picker.fair_queue import FairQueue


def queue(*items: str) -> FairQueue[str]:
    """Items like `alice1`: the key, and a number that tells them apart; `alice1@b` is in lane b."""
    filled: FairQueue[str] = FairQueue()
    for item in items:
        name, _, lane = item.partition("@")
        filled.push(item, name.rstrip("0123456789"), lane or "a")
    return filled


def drained(filled: FairQueue[str], *lanes: str) -> list[str]:
    taken = []
    while (item := filled.take(lanes or ("a",))) is not None:
        taken.append(item)
    return taken


def test_one_key_is_served_in_order_of_arrival() -> None:
    assert drained(queue("x1", "x2", "x3")) == ["x1", "x2", "x3"]


def test_keys_take_turns() -> None:
    filled = queue("flood1", "flood2", "flood3", "polite1", "polite2", "other1")
    expected = ["flood1", "polite1", "other1", "flood2", "polite2", "flood3"]
    assert expected == drained(filled)


def test_a_key_that_got_something_is_behind_one_that_comes_later() -> None:
    filled = queue("flood1", "flood2", "flood3")
    assert filled.take("a") == "flood1"
    filled.push("polite1", "polite", "a")
    assert drained(filled) == ["flood2", "polite1", "flood3"]


def test_a_blocked_lane_stops_nobody_in_another() -> None:
    filled = queue("x1@a", "x2@b", "y1@a", "y2@b", "x3@b")
    assert drained(filled, "b") == ["x2@b", "y2@b", "x3@b"]
    assert filled.lanes() == ("a",)
    assert drained(filled, "a", "b") == ["y1@a", "x1@a"]


def test_of_several_open_lanes_the_oldest_item_of_the_key_is_next() -> None:
    assert drained(queue("x1@b", "x2@a", "x3@b"), "a", "b") == ["x1@b", "x2@a", "x3@b"]


def test_the_newest_item_of_the_longest_key_goes_when_there_is_no_place() -> None:
    filled = queue("flood1", "flood2@b", "polite1", "flood3", "flood4@b")
    assert filled.take_newest_of_longest() == "flood4@b"
    assert filled.take_newest_of_longest() == "flood3"
    assert filled.waiting() == {"flood": 2, "polite": 1}


def test_of_equally_long_keys_the_one_that_grew_last_gives_way() -> None:
    assert queue("x1", "y1", "x2", "y2").take_newest_of_longest() == "y2"
    assert queue("y1", "x1").take_newest_of_longest() == "x1"


def test_what_is_discarded_waits_no_longer() -> None:
    filled = queue("x1", "x2", "y1")
    assert filled.discard("x1")
    assert not filled.discard("x1")
    assert (len(filled), filled.oldest(), list(filled)) == (2, "x2", ["x2", "y1"])
    assert drained(filled) == ["x2", "y1"]
    assert (filled.oldest(), filled.lanes(), filled.waiting()) == (None, (), {})


KEYS = st.sampled_from(["x", "y", "z"])
LANES = st.sampled_from(["a", "b"])


class QueueLaws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: FairQueue[int] = FairQueue()
        self.waiting: list[tuple[int, str, str]] = []
        self.turns: list[str] = []
        """Keys in the order in which they are served."""
        self.number = 0

    @rule(key=KEYS, lane=LANES)
    def push(self, key: str, lane: str) -> None:
        self.number += 1
        self.queue.push(self.number, key, lane)
        if key not in self.turns:
            self.turns.append(key)
        self.waiting.append((self.number, key, lane))

    @rule(lanes=st.sets(LANES))
    def take(self, lanes: set[str]) -> None:
        served = [entry for entry in self.waiting if entry[2] in lanes]
        taken = self.queue.take(lanes)
        if not served:
            assert taken is None
            return
        key = next(key for key in self.turns if any(entry[1] == key for entry in served))
        expected = next(entry for entry in served if entry[1] == key)
        assert taken == expected[0]
        self.remove(expected)
        if key in self.turns:
            self.turns.remove(key)
            self.turns.append(key)

    @rule(choice=st.integers(0, 10**6))
    def discard(self, choice: int) -> None:
        if self.waiting:
            entry = self.waiting[choice % len(self.waiting)]
            assert self.queue.discard(entry[0])
            self.remove(entry)
        assert not self.queue.discard(0)

    @rule()
    def overflow(self) -> None:
        if not self.waiting:
            return
        taken = self.queue.take_newest_of_longest()
        entry = next(entry for entry in self.waiting if entry[0] == taken)
        most = max(self.count(key) for key in self.turns)
        assert self.count(entry[1]) == most
        assert entry[0] == max(found[0] for found in self.waiting if found[1] == entry[1])
        self.remove(entry)

    @invariant()
    def holds_what_was_pushed_and_not_taken(self) -> None:
        assert list(self.queue) == [entry[0] for entry in self.waiting]
        assert len(self.queue) == len(self.waiting)
        assert self.queue.waiting() == {key: self.count(key) for key in self.turns}
        assert set(self.queue.lanes()) == {entry[2] for entry in self.waiting}

    def count(self, key: str) -> int:
        return sum(entry[1] == key for entry in self.waiting)

    def remove(self, entry: tuple[int, str, str]) -> None:
        self.waiting.remove(entry)
        if not self.count(entry[1]):
            self.turns.remove(entry[1])


TestQueueLaws = QueueLaws.TestCase
