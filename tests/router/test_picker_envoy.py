"""The picker behind a real Envoy: slots, the queue, clients that leave, a picker that is away."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from puna_router.picker.config import PickerConfig, PickerEndpoint, PickerHost, PickerKey
from tests.router.picker_program import (
    CLUSTER,
    EnvoyProgram,
    PickerProgram,
    address,
    one_endpoint,
)
from tests.router.program import eventually
from tests.router.stub import Recorded, Stub, Stubs, chunk, document, head

PATH = "/v1/chat/completions"


class Slots:
    """Answers of one server that takes `seconds` for each request, and counts those at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0
        self.most = 0

    async def work(self) -> None:
        await asyncio.sleep(self.seconds)

    async def __call__(self, request: Recorded) -> AsyncIterator[bytes]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if b"stream" in request.body:
                yield head(content_type="text/event-stream", transfer_encoding="chunked")
                for _ in range(20):
                    yield chunk(b"data: {}\n\n")
                    await asyncio.sleep(self.seconds / 20)
                yield b"0\r\n\r\n"
            else:
                await self.work()
                yield document(b"{}")
        finally:
            self.now -= 1


class Held(Slots):
    """Answers of one server that a test lets go, one after the other."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self._free = threading.Semaphore(0)

    async def work(self) -> None:
        while not self._free.acquire(blocking=False):  # noqa: ASYNC110 - the test is elsewhere
            await asyncio.sleep(0.005)

    def let_go(self, count: int = 1) -> None:
        self._free.release(count)


@pytest.fixture
def pair(stubs: Stubs) -> list[Stub]:
    return [stubs.start(Slots(0.2)), stubs.start(Slots(0.2))]


Start = Callable[..., tuple[PickerProgram, EnvoyProgram]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Any] = []

    def begin(
        picked: PickerConfig, clusters: dict[str, list[Stub]], *, patience: float = 60
    ) -> tuple[PickerProgram, EnvoyProgram]:
        picker = PickerProgram(tmp_path, picked)
        running.append(picker)
        envoy = EnvoyProgram(tmp_path, clusters, patience=patience)
        running.append(envoy)
        return picker, envoy

    yield begin
    for program in reversed(running):
        program.stop()


def headers(key: str = "", **more: str) -> dict[str, str]:
    named = {"x-puna-client": key} if key else {}
    return {"x-puna-slots": "1", "x-puna-target": "chat", **named, **more}


async def ask(client: httpx.AsyncClient, key: str = "") -> int:
    """Status of one request."""
    return (await client.post(PATH, json={}, headers=headers(key))).status_code


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what happens is in other threads and processes
            await asyncio.sleep(0.01)


def asked_of(stubs: list[Stub]) -> int:
    """Requests that servers have got."""
    return sum(len(stub.requests) for stub in stubs)


def hold(stubs: list[Stub]) -> list[Held]:
    """Let servers answer nothing until a test says so."""
    held = [Held() for _ in stubs]
    for stub, answers in zip(stubs, held, strict=True):
        stub.answer = answers
    return held


def client_of(envoy: EnvoyProgram) -> httpx.AsyncClient:
    unlimited = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=envoy.url, timeout=30, limits=unlimited)


async def test_a_burst_never_takes_more_than_the_slots_and_wastes_none(
    start: Start, pair: list[Stub]
) -> None:
    held = hold(pair)
    picker, envoy = start(one_endpoint(pair, 2), {CLUSTER: pair})
    async with client_of(envoy) as client:
        asked = [asyncio.create_task(ask(client)) for _ in range(20)]
        await until(lambda: asked_of(pair) == 4 and picker.state().depth == 16)
        for number in range(20):
            held[number % 2].let_go()
            # Who waits takes the place of who has left.
            await until(partial(has_got, pair, min(20, 5 + number)))
        assert set(await asyncio.gather(*asked)) == {200}
    assert [each.most for each in held] == [2, 2]
    state = picker.state()
    assert (state.picked, state.ended, state.rejected) == (20, 20, {})
    assert state.waits.seconds > 0


def has_got(stubs: list[Stub], requests: int) -> bool:
    return asked_of(stubs) == requests


async def test_what_has_no_place_or_waits_too_long_is_refused_with_the_reason(
    start: Start, pair: list[Stub]
) -> None:
    (held,) = hold(pair[:1])
    picker, envoy = start(one_endpoint(pair[:1], depth=1, timeout=3), {CLUSTER: pair[:1]})
    async with client_of(envoy) as client:
        first = asyncio.create_task(ask(client))
        await until(lambda: asked_of(pair) == 1)
        named = headers(**{"x-request-id": "mine"})
        second = asyncio.create_task(client.post(PATH, json={}, headers=named))
        await until(lambda: picker.state().depth == 1)
        third = await client.post(PATH, json={}, headers=named)
        assert not second.done()
        assert refusal(third) == (429, "queue_full", "2", "mine")
        assert refusal(await second) == (429, "queue_timeout", "5", "mine")
        held.let_go()
        assert await first == 200


def refusal(answer: httpx.Response) -> tuple[int, str, str, str]:
    error = json.loads(answer.text)["error"]
    assert answer.headers["content-type"] == "application/json"
    assert error["code"] == answer.status_code
    return answer.status_code, error["reason"], answer.headers["retry-after"], error["request_id"]


async def test_a_flooding_key_does_not_hold_up_a_polite_one(start: Start, pair: list[Stub]) -> None:
    held = hold(pair)
    picker, envoy = start(one_endpoint(pair, 1, depth=8), {CLUSTER: pair})
    async with client_of(envoy) as client:
        flood: list[asyncio.Task[int]] = []
        for _ in range(5):
            flood += [asyncio.create_task(ask(client, "flood")) for _ in range(15)]
            await until(lambda: picker.state().depth == 8)
            polite = asyncio.create_task(ask(client, "polite"))
            await until(lambda: "polite" in picker.state().waiting)
            # Two answers for others at most, from either server, before it is its turn.
            for number in range(4):
                if not serving(pair, "polite"):
                    got = asked_of(pair)
                    held[number % 2].let_go()
                    await until(partial(has_got, pair, got + 1))
            (place,) = serving(pair, "polite")
            held[place].let_go()
            assert await polite == 200
        for each in held:
            each.let_go(100)
        await asyncio.gather(*flood)


def serving(stubs: list[Stub], key: str) -> list[int]:
    """Servers of one slot whose newest request is one of a key."""
    newest = [stub.requests[-1].header("x-puna-client") for stub in stubs]
    return [place for place, name in enumerate(newest) if name == key]


async def test_a_key_has_its_own_limits(start: Start, pair: list[Stub]) -> None:
    keys = {"alice": PickerKey(max_concurrency=1), "bob": PickerKey(exhausted_until=2e9 * 2)}
    held = hold(pair)
    _, envoy = start(one_endpoint(pair, 2, keys=keys), {CLUSTER: pair})
    async with client_of(envoy) as client:
        first = asyncio.create_task(ask(client, "alice"))
        await until(lambda: asked_of(pair) == 1)
        second = await client.post(PATH, json={}, headers=headers("alice"))
        third = await client.post(PATH, json={}, headers=headers("bob"))
        for each in held:
            each.let_go()
        assert await first == 200
    assert refusal(second)[:2] == (429, "key_concurrency")
    assert refusal(third)[:2] == (429, "tokens_exhausted")


async def send(envoy: EnvoyProgram, content: bytes) -> asyncio.StreamWriter:
    """A client that has asked and does not read."""
    _, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(content)}\r\n\r\n".encode()
        + content
    )
    return writer


@pytest.mark.parametrize("content", [b'{"x":1}', b'{"stream":1}'])
async def test_clients_that_leave_free_their_slots_and_places(
    start: Start, pair: list[Stub], content: bytes
) -> None:
    for stub in pair:
        stub.answer = Slots(600.0)
    picker, envoy = start(one_endpoint(pair, 4, timeout=600), {CLUSTER: pair})
    clients = [await send(envoy, content) for _ in range(40)]
    await until(lambda: picker.in_flight() == 8 and picker.state().depth == 32)
    for client in clients:
        client.transport.abort()
    await until(lambda: picker.in_flight() == 0 and picker.state().depth == 0)
    state = picker.state()
    assert state.picked >= 8
    assert state.picked == state.ended
    assert state.picked + state.cancelled == 40


def test_without_the_picker_envoy_balances_by_itself(start: Start, pair: list[Stub]) -> None:
    # If anybody waited for the picker, it would be for longer than the client does.
    picker, envoy = start(one_endpoint(pair, 1), {CLUSTER: pair}, patience=600)
    with httpx.Client(base_url=envoy.url, timeout=30) as client:
        assert client.post(PATH, headers=headers()).status_code == 200
        picker.process.kill()
        picker.process.wait(10)
        for _ in range(5):
            assert client.post(PATH, headers=headers()).status_code == 200
        picker.start()
        eventually(lambda: client.post(PATH, headers=headers()) and picker.state().picked > 0)


async def test_those_who_wait_are_served_when_the_picker_dies(
    start: Start, pair: list[Stub]
) -> None:
    (held,) = hold(pair[:1])
    picker, envoy = start(one_endpoint(pair[:1]), {CLUSTER: pair[:1]})
    async with client_of(envoy) as client:
        asked = [asyncio.create_task(ask(client)) for _ in range(4)]
        await until(lambda: asked_of(pair) == 1 and picker.state().depth == 3)
        picker.process.kill()
        # Nobody waits for the answer under way any more.
        await until(lambda: asked_of(pair) == 4)
        held.let_go(4)
        assert await asyncio.gather(*asked) == [200] * 4


def test_a_picker_that_hangs_delays_by_no_more_than_envoys_patience(
    start: Start, pair: list[Stub]
) -> None:
    picker, envoy = start(one_endpoint(pair, 1), {CLUSTER: pair}, patience=0.25)
    with httpx.Client(base_url=envoy.url, timeout=30) as client:
        assert client.post(PATH, headers=headers()).status_code == 200
        picker.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(3):
                began = time.monotonic()
                # It hangs for as long as nobody has an answer.
                assert client.post(PATH, headers=headers()).status_code == 200
                assert time.monotonic() - began >= 0.25
        finally:
            picker.process.send_signal(signal.SIGCONT)
        eventually(lambda: picker.in_flight() == 0)
        assert client.post(PATH, headers=headers()).status_code == 200
        eventually(lambda: picker.state().picked == picker.state().ended)


async def test_who_waits_for_a_replaced_revision_gets_the_new_one(
    start: Start, pair: list[Stub]
) -> None:
    clusters = {CLUSTER: [], "chat-b": pair}
    picker, envoy = start(one_endpoint([], expected=1), clusters)
    async with client_of(envoy) as client:
        asked = [asyncio.create_task(ask(client)) for _ in range(4)]
        await until(lambda: picker.state().depth == 4)
        picker.configure(one_endpoint(pair, clusters=("chat-b",), expected=1))
        answers = await asyncio.gather(*asked)
    assert answers == [200] * 4
    assert [stub.answer.most for stub in pair] == [1, 1]  # type: ignore[attr-defined]


async def test_without_a_healthy_server_the_answer_comes_at_once(
    start: Start, pair: list[Stub]
) -> None:
    ill = PickerHost(address(pair[0]), 1, (CLUSTER,), healthy=False)
    picked = PickerConfig({"chat": PickerEndpoint((CLUSTER,), (ill,))})
    _, envoy = start(picked, {CLUSTER: pair})
    async with client_of(envoy) as client:
        answer = await client.post(PATH, json={}, headers=headers())
    assert refusal(answer)[:3] == (503, "no_healthy_endpoint", "5")


async def test_a_picked_server_that_envoy_does_not_know_is_replaced_by_one_it_does(
    start: Start, pair: list[Stub]
) -> None:
    stranger = PickerHost("127.0.0.1:9", 1, (CLUSTER,))
    picked = PickerConfig({"chat": PickerEndpoint((CLUSTER,), (stranger,))})
    picker, envoy = start(picked, {CLUSTER: pair})
    async with client_of(envoy) as client:
        answer = await client.post(PATH, json={}, headers=headers())
    assert answer.status_code == 200
    assert "x-puna-session" not in answer.headers
    assert picker.state().picked == 1


async def test_what_takes_no_slot_is_passed_on_without_a_pick(
    start: Start, pair: list[Stub]
) -> None:
    picker, envoy = start(one_endpoint(pair), {CLUSTER: pair})
    async with client_of(envoy) as client:
        assert (await client.get("/props")).status_code == 200
    assert picker.state().picked == 0
