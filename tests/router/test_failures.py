"""Backends that fall ill, die and come back, under requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event
from typing import Self

import httpx
import psutil
import pytest

from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually
from tests.router.stub import Recorded, Stub, Stubs, document, head, stream

CHAT = "/v1/chat/completions"


async def slow(_: Recorded) -> AsyncIterator[bytes]:
    await asyncio.sleep(0.03)
    yield document(b"{}")


class Load:
    """Steady requests from a few clients until left."""

    def __init__(self, router: RouterProgram, clients: int = 6) -> None:
        self._router = router
        self._stop = Event()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = clients
        self.statuses: list[int] = []
        self.failures: list[str] = []
        """Answers other than 200."""

    def __enter__(self) -> Self:
        self._futures = [self._pool.submit(self._ask) for _ in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for future in self._futures:
            future.result(30)
        self._pool.shutdown()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._router.url, timeout=30) as client:
            while not self._stop.is_set():
                answer = client.post(CHAT, json={"prompt": "x"})
                self.statuses.append(answer.status_code)
                if answer.status_code != 200:
                    self.failures.append(answer.text)


def grows(stub: Stub, seconds: float) -> bool:
    """Whether a backend gets requests within a time."""
    before = len(stub.requests)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if len(stub.requests) > before:
            return True
        time.sleep(0.005)
    return False


@pytest.mark.parametrize(("interval", "threshold"), [(0.2, 3), (0.5, 2)])
def test_a_backend_whose_health_fails_is_out_in_time_and_comes_back(
    stubs: Stubs, start_router: StartRouter, interval: float, threshold: int
) -> None:
    ill, well = stubs.start(slow), stubs.start(slow)
    check = {"intervalSeconds": interval, "failureThreshold": threshold}
    router = start_router([endpoint(healthCheck=check)], {"chat": [ill.backend(), well.backend()]})
    router.wait_healthy(2)
    with Load(router) as load:
        eventually(lambda: grows(ill, 0.1))
        fell, before = time.monotonic(), ill.checks
        ill.health = 503
        router.wait_healthy(1)
        # One failed check fewer must not do it.
        assert time.monotonic() - fell >= (threshold - 1) * interval * 0.9
        eventually(lambda: not grows(ill, 0.15), pause=0)
        # Some more, for what was on its way when the last of them failed.
        assert ill.checks_before_last - before <= threshold + 3
        ill.health = 200
        eventually(lambda: grows(ill, 0.1))
    assert load.failures == []
    pauses = [after - before for before, after in pairwise(ill.checked_at)]
    assert min(pauses) < 2 * interval


def test_a_killed_backend_costs_no_plain_request(stubs: Stubs, start_router: StartRouter) -> None:
    dies, stays = stubs.start(slow), stubs.start(slow)
    router = start_router([endpoint()], {"chat": [dies.backend(), stays.backend()]})
    router.wait_healthy(2)
    with Load(router) as load:
        eventually(lambda: grows(dies, 0.1))
        for _ in range(3):
            dies.kill()
            router.wait_healthy(1)
            dies.start()
            eventually(lambda: grows(dies, 0.1))
    assert len(load.statuses) > 20
    assert load.failures == []


def test_a_backend_that_dies_after_reading_is_tried_elsewhere_only_before_its_first_byte(
    stubs: Stubs, start_router: StartRouter
) -> None:
    async def break_off(request: Recorded) -> AsyncIterator[bytes]:
        if b"begun" in request.body:
            yield head(content_type="text/event-stream", transfer_encoding="chunked")
            await asyncio.sleep(0.05)
        raise ConnectionError

    breaks, works = stubs.start(break_off), stubs.start()
    router = start_router([endpoint()], {"chat": [breaks.backend(), works.backend()]})
    router.wait_healthy(2)
    for _ in range(10):
        assert router.client.post(CHAT, json={"prompt": "x"}).status_code == 200
    assert breaks.requests
    attempts, broken = 0, 0
    before = len(works.requests)
    while broken < 3:
        attempts += 1
        try:
            router.client.post(CHAT, json={"begun": 1})
        except httpx.RemoteProtocolError:
            broken += 1
    assert len(works.requests) - before == attempts - broken


def test_a_refusal_with_503_is_tried_elsewhere_and_no_other_error_is(
    stubs: Stubs, start_router: StartRouter
) -> None:
    async def refuse(request: Recorded) -> AsyncIterator[bytes]:
        status = "500 Oops" if b"five" in request.body else "503 Loading"
        yield document(b'{"error":{"message":"mine"}}', status=status)

    loads, works = stubs.start(refuse), stubs.start()
    router = start_router([endpoint()], {"chat": [loads.backend(), works.backend()]})
    router.wait_healthy(2)
    works.answer = slow  # busier than the one that refuses at once
    with Load(router) as load:
        eventually(lambda: len(load.statuses) > 150, 60)
    assert load.failures == []
    assert loads.requests
    poisoned = [router.client.post(CHAT, json={"five": 1}) for _ in range(200)]
    assert {200, 500} == {answer.status_code for answer in poisoned}
    assert {'{"error":{"message":"mine"}}'} == {
        answer.text for answer in poisoned if answer.status_code == 500
    }
    # What a backend answers never excludes it.
    assert all(backend.healthy for backend in router.state().endpoints["chat"].backends)


def test_all_backends_down_is_an_error_at_once_and_heals(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = [stubs.start(), stubs.start()]
    # Longer than the client has patience.
    patient = {"maxDepth": 32, "timeoutSeconds": 600}
    router = start_router(
        [endpoint(queue=patient, idleTimeoutSeconds=600)],
        {"chat": [stub.backend() for stub in pair]},
    )
    router.wait_healthy(2)
    for stub in pair:
        stub.health = 500
    router.wait_healthy(0)
    for _ in range(20):
        answer = router.client.post(CHAT, json={})
        assert answer.status_code == 503
        assert answer.json()["error"]["reason"] == "no_healthy_endpoint"
        assert answer.headers["retry-after"] == "5"
    for stub in pair:
        stub.health = 200
    router.wait_healthy(2)
    assert router.client.post(CHAT, json={}).status_code == 200


def test_a_silent_stream_ends_at_the_idle_timeout_and_no_earlier(
    stubs: Stubs, start_router: StartRouter
) -> None:
    async def stall(request: Recorded) -> AsyncIterator[bytes]:
        if b"lively" in request.body:
            async for part in lively(request):
                yield part
            return
        if b"late" in request.body:
            yield head(content_type="text/event-stream", transfer_encoding="chunked")
        await asyncio.sleep(600)

    lively = stream(9, 0.5)  # longer than the timeout, never silent for as long
    stub = stubs.start(stall)
    router = start_router([endpoint(idleTimeoutSeconds=3, retries=0)], {"chat": [stub.backend()]})
    router.wait_healthy(1)

    def ask(kind: str) -> httpx.Response:
        began = time.monotonic()
        try:
            return router.client.post(CHAT, json={kind: 1})
        finally:
            assert time.monotonic() - began > 2.9

    with ThreadPoolExecutor(3) as pool:
        silent, late, whole = (pool.submit(ask, kind) for kind in ("silent", "late", "lively"))
    answer = silent.result()
    assert (answer.status_code, answer.json()["error"]["reason"]) == (504, "backend_timeout")
    with pytest.raises(httpx.RemoteProtocolError):
        late.result()
    assert "[DONE]" in whole.result().text


def test_envoy_is_started_again_when_it_dies(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start()
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    children = psutil.Process(router.process.pid).children()
    (envoy,) = (child for child in children if child.name() == "envoy")
    envoy.kill()
    envoy.wait(10)

    def works() -> bool:
        try:
            return router.client.post(CHAT, json={}).status_code == 200
        except httpx.TransportError:
            return False

    eventually(works)
