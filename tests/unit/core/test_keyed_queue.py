"""Laws of the keyed queue, in any order of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from puna.core.keyed_queue import Key, KeyedQueue
from puna.core.plan import Ref

A, B, C = (Key("LLMEndpoint", Ref("team", name)) for name in "abc")
KEYS = st.sampled_from([A, B, C])
DELAYS = st.sampled_from([0.0, 0.5, 3.0])


def queue(normal_limit: int = 8) -> KeyedQueue:
    return KeyedQueue(normal_limit=normal_limit)


def test_a_key_woken_twice_is_worked_on_once() -> None:
    keys = queue()
    keys.wake(A, 0.0)
    keys.wake(A, 0.0)
    assert keys.take(0.0) == A
    keys.done(A, 1.0)
    assert keys.take(1.0) is None


def test_a_key_woken_while_it_is_worked_on_is_worked_on_again() -> None:
    keys = queue()
    keys.wake(A, 0.0)
    assert keys.take(0.0) == A
    keys.wake(A, 0.1)
    assert keys.take(0.1) is None
    keys.done(A, 0.2)
    assert keys.take(0.2) == A


def test_the_earlier_of_two_wakes_counts() -> None:
    keys = queue()
    keys.wake(A, 0.0, delay=5.0)
    keys.wake(A, 0.0, delay=1.0)
    keys.wake(A, 0.0, delay=9.0)
    assert keys.take(0.9) is None
    assert keys.next_due() == 1.0
    assert keys.take(1.0) == A
    keys.done(A, 1.0)
    assert keys.take(10.0) is None


def test_urgent_keys_go_first_and_a_waiting_key_can_become_urgent() -> None:
    keys = queue()
    for key in (A, B, C):
        keys.wake(key, 0.0)
    keys.wake(C, 0.0, urgent=True)
    assert keys.has_urgent()
    assert [keys.take(0.0) for _ in range(4)] == [C, A, B, None]
    assert not keys.has_urgent()


def test_normal_keys_leave_workers_to_urgent_ones() -> None:
    keys = queue(normal_limit=1)
    keys.wake(A, 0.0)
    keys.wake(B, 0.0)
    assert keys.take(0.0) == A
    assert keys.take(0.0) is None
    keys.wake(C, 0.0, urgent=True)
    assert keys.take(0.0) == C
    keys.done(A, 0.1)
    assert keys.take(0.1) == B


def test_normal_keys_are_modest_while_an_urgent_one_is_worked_on() -> None:
    keys = KeyedQueue(normal_limit=8, modest_limit=1)
    keys.wake(A, 0.0, urgent=True)
    keys.wake(B, 0.0)
    keys.wake(C, 0.0)
    assert [keys.take(0.0) for _ in range(3)] == [A, B, None]
    keys.done(A, 0.0)
    assert keys.take(0.0) == C


def test_nothing_wakes_a_failed_key_before_its_wait_is_over() -> None:
    keys = queue()
    keys.wake(A, 0.0)
    assert keys.take(0.0) == A
    keys.wake(A, 0.0, urgent=True)
    keys.failed(A, 0.0, wait=2.0)
    keys.wake(A, 0.5, urgent=True)
    assert keys.take(1.9) is None
    assert keys.failures(A) == 1
    assert keys.take(2.0) == A
    keys.done(A, 2.0)
    assert keys.failures(A) == 0


def test_work_that_ends_can_ask_for_another_look_before_everybody_else() -> None:
    keys = queue()
    keys.wake(A, 0.0)
    assert keys.take(0.0) == A
    keys.wake(B, 0.0)
    keys.done(A, 0.0, again=0.0, urgent=True)
    assert keys.take(0.0) == A


def test_ages_tell_who_waits_and_who_is_worked_on() -> None:
    keys = queue()
    keys.wake(A, 0.0)
    keys.wake(B, 1.0, delay=1.0)
    assert keys.longest_wait(3.0) == 3.0
    assert keys.take(3.0) == A
    assert keys.longest_run(5.0) == (2.0, A)
    assert keys.depth() == 1
    assert keys.longest_wait(5.0) == 3.0


def test_an_idle_queue_remembers_nothing() -> None:
    keys = queue()
    for _ in range(3):
        keys.wake(A, 0.0)
        keys.take(0.0)
        keys.done(A, 0.0)
    assert keys == queue()


@dataclass
class Model:
    """What the laws say of one key."""

    due: float | None = None
    running: bool = False
    not_before: float = 0.0
    woken_while_running: list[float] = field(default_factory=list)


class QueueMachine(RuleBasedStateMachine):
    """Wakes, works and clocks in any order: no wake is lost, none is doubled, none comes early."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = queue(normal_limit=2)
        self.models = {key: Model() for key in (A, B, C)}

    @rule(key=KEYS, delay=DELAYS, urgent=st.booleans())
    def wake(self, key: Key, delay: float, urgent: bool) -> None:  # noqa: FBT001 - drawn
        self.queue.wake(key, self.now, delay=delay, urgent=urgent)
        model = self.models[key]
        due = max(self.now + delay, model.not_before)
        if model.running:
            model.woken_while_running.append(due)
        else:
            model.due = due if model.due is None else min(model.due, due)

    @rule()
    def take(self) -> None:
        key = self.queue.take(self.now)
        if key is None:
            due = [k for k, m in self.models.items() if m.due is not None and m.due <= self.now]
            assert not due or sum(model.running for model in self.models.values()) >= 2
            return
        model = self.models[key]
        assert not model.running
        assert model.due is not None
        assert model.due <= self.now
        model.running, model.due = True, None

    @precondition(lambda self: any(model.running for model in self.models.values()))
    @rule(data=st.data(), again=st.none() | DELAYS, fails=st.booleans())
    def end(self, data: st.DataObject, again: float | None, fails: bool) -> None:  # noqa: FBT001
        running = [key for key, model in self.models.items() if model.running]
        key = data.draw(st.sampled_from(running))
        model = self.models[key]
        dues = list(model.woken_while_running)
        model.running, model.woken_while_running = False, []
        if fails:
            wait = again or 1.0
            self.queue.failed(key, self.now, wait=wait)
            model.not_before = self.now + wait
            dues = [max(due, model.not_before) for due in [*dues, self.now + wait]]
        else:
            self.queue.done(key, self.now, again=again)
            model.not_before = 0.0
            dues += [] if again is None else [self.now + again]
        model.due = min(dues, default=None)

    @rule(seconds=st.sampled_from([0.1, 0.5, 4.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nobody_is_forgotten(self) -> None:
        waiting = [model for model in self.models.values() if model.due is not None]
        assert self.queue.depth() <= len(waiting)
        assert not waiting or self.queue.depth() or self.queue.next_due() is not None


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
