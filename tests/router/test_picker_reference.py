"""The picker's own gRPC server against grpc.aio: the same calls, the same answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from puna_router.picker import frames
from puna_router.picker.config import (
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerKey,
    PickerQueue,
)
from puna_router.picker.processor import Processor
from puna_router.picker.scheduler import Scheduler
from puna_router.picker.server import Calls, unix_listener
from tests import ext_proc
from tests.ext_proc import Heard
from tests.router.grpc_picker import ReferencePicker, serve

CLUSTERS = ("chat-a", "chat-b")
DOCUMENT = PickerConfig(
    {
        "chat": PickerEndpoint(
            clusters=(*CLUSTERS, "chat-empty"),
            hosts=(
                PickerHost("10.0.0.1:80", 2, ("chat-a",)),
                PickerHost("10.0.0.2:80", 1, CLUSTERS),
            ),
            queue=PickerQueue(3, 60),
            keys={"alice": PickerKey(max_concurrency=3), "bob": PickerKey(exhausted_until=1e25)},
        ),
        "none": PickerEndpoint(clusters=("none-a",)),
    }
)


class Caller:
    """One connection of Envoy's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.heard = Heard()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, path: Path) -> Caller:
        caller = cls(*await asyncio.open_unix_connection(str(path)))
        caller.send(ext_proc.HELLO + frames.window_update(0, 1 << 20))
        return caller

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def _listen(self) -> None:
        while data := await self._reader.read(65_536):
            seen = len(self.heard.frames)
            self.heard.hear(data)
            for kind, flags, _, payload in self.heard.frames[seen:]:
                if kind == frames.PING and not flags & frames.ACK:
                    self.send(frames.frame(frames.PING, frames.ACK, 0, payload))
                if kind == frames.SETTINGS and not flags & frames.ACK:
                    self.send(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def has_heard(self, frame: tuple[int, int, int, bytes]) -> bool:
        return frame in self.heard.frames

    async def close(self) -> None:
        self._writer.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


def script(seed: int) -> list[bytes]:
    """Things that Envoy does, one after the other."""
    draw = random.Random(seed)
    steps: list[bytes] = []
    open_calls: list[int] = []
    stream = -1
    for _ in range(60):
        if open_calls and draw.random() < 0.45:
            call = open_calls.pop(draw.randrange(len(open_calls)))
            ends = (ext_proc.end(call), frames.reset(call, 8))
            steps.append(draw.choice(ends))
            continue
        stream += 2
        open_calls.append(stream)
        headers = {"request_id": f"id {stream}"}
        if key := draw.choice(["", "alice", "bob", "carol"]):
            headers["puna_client"] = key
        if draw.random() < 0.5:
            headers["puna_prefix"] = f"{draw.randrange(4):08x}:100,{draw.randrange(9):08x}:900"
        build = ext_proc.slot_request if draw.random() < 0.9 else ext_proc.request
        cluster = draw.choice([*CLUSTERS, "chat-empty", "none-a", "unknown"])
        steps.append(ext_proc.begin(stream, build(cluster, **headers)))
    return [*steps, *(ext_proc.end(call) for call in open_calls)]


async def play(
    path: Path, steps: list[bytes], scheduler: Scheduler, expected: list[Any] | None
) -> tuple[dict[int, list[Any]], list[Any]]:
    """Answers by stream, and where things stood after each step; waits for what is expected."""
    caller = await Caller.connect(path)
    stands: list[Any] = []
    for number, step in enumerate(steps):
        caller.send(step)
        if expected is None:
            # Our own server answers a ping behind everything that came before it.
            ping = (frames.PING, frames.ACK, 0, number.to_bytes(8, "big"))
            caller.send(frames.frame(frames.PING, 0, 0, ping[3]))
            await until(partial(caller.has_heard, ping))
        else:
            await until(partial(stands_at, caller, scheduler, expected[number]))
        stands.append(stand(caller, scheduler))
    await until(lambda: all(state.picked == state.ended for state in scheduler.state().values()))
    await caller.close()
    return caller.heard.answers, stands


def stand(caller: Caller, scheduler: Scheduler) -> Any:
    """How many answers there are on each stream, and what the scheduler has counted."""
    answers = {stream: len(found) for stream, found in caller.heard.messages.items()}
    states = scheduler.state().values()
    counts = [(state.picked, state.ended, state.cancelled, state.rejected) for state in states]
    return answers, counts


def stands_at(caller: Caller, scheduler: Scheduler, expected: Any) -> bool:
    return bool(stand(caller, scheduler) == expected)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the other side is another server
            await asyncio.sleep(0)


async def with_own(path: Path, play_on: Callable[[Scheduler], Awaitable[Any]]) -> Any:
    scheduler = Scheduler()
    processor = Processor(scheduler)
    processor.configure(DOCUMENT, 0.0)
    server = await asyncio.get_running_loop().create_unix_server(
        Calls(processor).protocol, sock=unix_listener(path)
    )
    try:
        return await play_on(scheduler)
    finally:
        server.close()


async def with_reference(path: Path, play_on: Callable[[Scheduler], Awaitable[Any]]) -> Any:
    scheduler = Scheduler()
    scheduler.configure(DOCUMENT, 0.0)
    server = await serve(str(path), ReferencePicker(scheduler))
    try:
        return await play_on(scheduler)
    finally:
        await server.stop(0)


@pytest.mark.parametrize("seed", range(8))
async def test_both_servers_give_the_same_answers(tmp_path: Path, seed: int) -> None:
    steps = script(seed)
    own_path, reference_path = tmp_path / "own.sock", tmp_path / "reference.sock"
    own, stands = await with_own(own_path, lambda scheduler: play(own_path, steps, scheduler, None))
    reference, _ = await with_reference(
        reference_path, lambda scheduler: play(reference_path, steps, scheduler, stands)
    )
    assert own == reference
    kinds = {ext_proc.kind(answer).split()[0] for found in own.values() for answer in found}
    assert kinds == {"pick", "hold", "refuse", "go"}
