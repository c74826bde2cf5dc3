"""Workers around the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from puna.core.keyed_queue import Key
from puna.core.plan import Ref
from puna.wakeups import Done, Failed, Wakeups
from tests.unit.operator_shell.waiting import until

A, B, C = (Key("LLMEndpoint", Ref("team", name)) for name in "abc")


@asynccontextmanager
async def working(
    wakeups: Wakeups, run_once: Callable[[Key], Awaitable[Done | Failed]]
) -> AsyncIterator[None]:
    task = asyncio.create_task(wakeups.work(run_once))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_all_that_is_woken_is_worked_on_by_several_at_once() -> None:
    running: set[Key] = set()
    together = asyncio.Event()
    ended: list[Key] = []

    async def run_once(key: Key) -> Done:
        running.add(key)
        if running == {A, B}:
            together.set()
        await together.wait()
        ended.append(key)
        return Done()

    wakeups = Wakeups(4, time.monotonic)
    async with working(wakeups, run_once):
        await asyncio.sleep(0.02)
        for key in (A, B):
            wakeups.wake(key)
        await until(lambda: len(ended) == 2)
    assert sorted(ended) == [A, B]


async def test_keys_due_at_the_same_later_moment_are_all_worked_on() -> None:
    ended: list[Key] = []

    async def run_once(key: Key) -> Done:
        await asyncio.sleep(0.01)
        ended.append(key)
        return Done()

    wakeups = Wakeups(4, time.monotonic)
    async with working(wakeups, run_once):
        for key in (A, B, C):
            wakeups.wake(key, delay=0.05)
        await until(lambda: len(ended) == 3)


async def test_a_delay_is_kept_and_a_repeat_happens() -> None:
    at: list[float] = []

    async def run_once(_: Key) -> Done:
        at.append(time.monotonic())
        return Done(again=0.1 if len(at) == 1 else None)

    wakeups = Wakeups(4, time.monotonic)
    began = time.monotonic()
    async with working(wakeups, run_once):
        wakeups.wake(A, delay=0.1)
        await until(lambda: len(at) == 2)
    assert at[0] - began >= 0.1
    assert at[1] - at[0] >= 0.1


async def test_one_slow_key_does_not_hold_up_the_others() -> None:
    ended: list[Key] = []
    forever = asyncio.Event()

    async def run_once(key: Key) -> Done:
        if key == A:
            await forever.wait()
        ended.append(key)
        return Done()

    wakeups = Wakeups(3, time.monotonic)
    async with working(wakeups, run_once):
        wakeups.wake(A, urgent=True)
        wakeups.wake(B)
        wakeups.wake(C)
        await until(lambda: len(ended) == 2)
        assert A not in ended


async def test_a_failed_key_waits_while_others_go_on() -> None:
    calls: list[Key] = []

    async def run_once(key: Key) -> Done | Failed:
        calls.append(key)
        return Failed(30.0) if key == A else Done()

    wakeups = Wakeups(2, time.monotonic)
    async with working(wakeups, run_once):
        wakeups.wake(A)
        await until(lambda: calls == [A])
        wakeups.wake(A, urgent=True)
        wakeups.wake(B)
        await until(lambda: B in calls)
        await asyncio.sleep(0.05)
    assert calls == [A, B]


async def test_a_slow_pass_does_not_hold_up_what_becomes_due_after_it() -> None:
    slow, served = asyncio.Event(), asyncio.Event()

    async def run_once(key: Key) -> Done:
        if key == A:
            await slow.wait()
        else:
            served.set()
        return Done()

    wakeups = Wakeups(4, time.monotonic)
    async with working(wakeups, run_once):
        wakeups.wake(A, delay=0.02)
        wakeups.wake(B, delay=0.05)
        await until(served.is_set)
        slow.set()
