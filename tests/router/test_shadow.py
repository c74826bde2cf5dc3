"""Copies of requests for a revision that is to be looked at: what they do, and never do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.router.conftest import StartRouter
from tests.router.lab import LabProgram
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.stub import Recorded, Stub, Stubs, chunk, document, head, stream
from tests.router.test_keys import SECRET, key, text_of

CHAT = "/v1/chat/completions"
OLD, NEW = "aaaaaaaa", "bbbbbbbb"
OLD_PROCESS, NEW_PROCESS = "00000001", "00000002"


def chat(percent: int = 100, *, weight: int = 0, slots: int = 64, **more: Any) -> dict[str, Any]:
    """An endpoint whose new revision gets copies."""
    return endpoint(
        "chat",
        revision(OLD, process=OLD_PROCESS, weight=100 - weight),
        revision(NEW, process=NEW_PROCESS, weight=weight, slots=slots),
        shadow={"revision": NEW, "percent": percent},
        **more,
    )


def started(
    start_router: StartRouter, content: dict[str, Any], old: Stub, new: Stub, **more: Any
) -> RouterProgram:
    backends = {"chat": [old.backend(OLD_PROCESS), new.backend(NEW_PROCESS)]}
    router = start_router([content], backends, **more)
    router.wait_healthy(2)
    return router


def series(router: RouterProgram, name: str, **labels: str) -> float:
    """Sum of the samples of a series with these labels."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(
        float(line.rpartition(" ")[2])
        for line in router.metrics().splitlines()
        if line.startswith(f"{name}{{") and all(label in line for label in wanted)
    )


def test_a_copy_is_what_the_client_sent_with_the_preset_of_its_revision(
    stubs: Stubs, start_router: StartRouter
) -> None:
    old, new = stubs.start(), stubs.start()
    content = chat()
    content["revisions"][0]["preset"] = {"defaults": {"temperature": 0.1}}
    content["revisions"][1]["preset"] = {"defaults": {"temperature": 0.9}, "systemPrompt": "new"}
    router = started(start_router, content, old, new)
    sent = '{"messages": [ ], "seed": 18446744073709551615}'
    headers = {"content-type": "application/json", "x-request-id": "mine", "x-own": "kept"}
    answer = router.client.post(CHAT, content=sent, headers=headers)
    assert answer.text == '{"temperature":0.1,"messages": [ ], "seed": 18446744073709551615}'
    eventually(lambda: new.requests)
    (copy,) = new.requests
    message = '{"role":"system","content":"new"}'
    assert copy.body.decode() == (
        '{"temperature":0.9,"messages": [' + message + ' ], "seed": 18446744073709551615}'
    )
    assert (copy.method, copy.path) == ("POST", CHAT)
    assert (copy.header("x-request-id"), copy.header("x-own")) == ("mine", "kept")
    assert copy.header("connection") == "close"
    assert [name for name, _ in copy.headers if name.startswith(("x-puna", "x-envoy"))] == []


def test_answers_are_the_same_with_and_without_copies(
    stubs: Stubs, start_router: StartRouter
) -> None:
    old, new = stubs.start(stream(20, 0.005)), stubs.start(stream(3, 0.001))
    router = started(start_router, chat(50), old, new)

    def told(*, stream: bool) -> tuple[list[tuple[str, str]], bytes]:
        answer = router.client.post(CHAT, json={"stream": stream})
        return [item for item in answer.headers.multi_items() if item[0] != "x-request-id"], (
            answer.content
        )

    with_copies = [told(stream=stream) for stream in (True, False) * 20]
    eventually(lambda: series(router, "puna_router_shadow_requests_total") > 0)
    content = chat()
    del content["shadow"]
    router.update([content], {"chat": [old.backend(OLD_PROCESS), new.backend(NEW_PROCESS)]})
    without = [told(stream=stream) for stream in (True, False) * 20]
    assert {body for _, body in with_copies} == {body for _, body in without}
    names = {tuple(name for name, _ in headers) for headers, _ in (*with_copies, *without)}
    assert len(names) == 1


@pytest.mark.parametrize("percent", [5, 50])
def test_so_many_percent_are_copied(stubs: Stubs, start_router: StartRouter, percent: int) -> None:
    old, new = stubs.start(), stubs.start()
    router = started(start_router, chat(percent), old, new)
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda _: router.client.post(CHAT, json={}).status_code, range(1000))
        assert {200} == set(asked)
    deviation = (1000 * percent / 100 * (1 - percent / 100)) ** 0.5
    eventually(lambda: abs(len(new.requests) - 10 * percent) < 4 * deviation)
    assert len(old.requests) == 1000


BODY: dict[str, Any] = {"messages": []}
LONG = ("--tokens", "8000", "--interval", "0.05")
"""Answers that take longer than a client, and a test, has patience."""


@pytest.fixture
def lab() -> Iterator[LabProgram]:
    with LabProgram("--slots", "2", *LONG) as found:
        yield found


def beside(start_router: StartRouter, content: dict[str, Any], old: Stub, lab: LabProgram) -> Any:
    """A router with a stub that serves the old revision, and a lab server for the new one."""
    backends = {"chat": [old.backend(OLD_PROCESS), {**lab.backend, "process": NEW_PROCESS}]}
    router = start_router([content], backends)
    router.wait_healthy(2)
    return router, backends


def test_a_copy_that_finds_no_free_slot_is_dropped_and_delays_nobody(
    stubs: Stubs, start_router: StartRouter, lab: LabProgram
) -> None:
    old = stubs.start()
    router, _ = beside(start_router, chat(slots=2), old, lab)
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda _: router.client.post(CHAT, json=BODY).status_code, range(40))
        assert {200} == set(asked)
    dropped = {"endpoint": "chat", "reason": "no_free_slot"}
    eventually(lambda: series(router, "puna_router_shadow_dropped_total", **dropped) == 38)
    state = lab.state()
    assert (state["requests"], state["maxConcurrent"], state["slots"]["deferred"]) == (2, 2, 0)
    assert series(router, "puna_router_shadow_requests_total") == 0  # none has ended
    assert series(router, "puna_router_refused_total") == 0


def test_live_requests_never_wait_for_a_copy(
    stubs: Stubs, start_router: StartRouter, lab: LabProgram
) -> None:
    old = stubs.start()
    router, backends = beside(start_router, chat(slots=2), old, lab)
    for _ in range(2):
        assert router.client.post(CHAT, json=BODY).status_code == 200
    eventually(lambda: lab.state()["slots"]["busy"] == 2)
    router.update([chat(weight=100, slots=2)], backends)
    # From now on a slot of the server is for requests of its own.
    eventually(lambda: lab.state()["slots"]["busy"] == 1)
    with ThreadPoolExecutor(2) as pool:
        body = {**BODY, "max_tokens": 10}
        asked = [pool.submit(router.client.post, CHAT, json=body) for _ in range(2)]
        assert [found.result().status_code for found in asked] == [200, 200]
    gave_way = {"endpoint": "chat", "reason": "gave_way"}
    eventually(lambda: series(router, "puna_router_shadow_dropped_total", **gave_way) == 2)
    state = lab.state()
    assert (state["cancelled"], state["slots"]["busy"]) == (2, 0)
    assert series(router, "puna_router_shadow_requests_total") == 0


def test_copies_end_with_the_wish_for_them(
    stubs: Stubs, start_router: StartRouter, lab: LabProgram
) -> None:
    old = stubs.start()
    router, backends = beside(start_router, chat(slots=2), old, lab)
    assert router.client.post(CHAT, json={**BODY, "stream": True}).status_code == 200
    eventually(lambda: lab.state()["slots"]["busy"] == 1)
    content = chat(slots=2)
    del content["shadow"]
    router.update([content], backends)
    eventually(lambda: lab.state()["slots"]["busy"] == 0)
    assert router.client.post(CHAT, json=BODY).status_code == 200
    router.rewrite([chat(slots=2)], backends)

    def is_copied() -> bool:
        assert router.client.post(CHAT, json=BODY).status_code == 200
        return bool(lab.state()["requests"] > 1)

    eventually(is_copied, pause=0.2)


def test_a_copy_outlives_a_client_that_leaves(stubs: Stubs, start_router: StartRouter) -> None:
    old, new = stubs.start(stream(100, 0.05)), stubs.start(stream(10, 0.05))
    router = started(start_router, chat(), old, new)
    with router.client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
        next(answer.iter_bytes())
    eventually(lambda: old.active == 0)
    eventually(lambda: series(router, "puna_router_shadow_requests_total", code="200") == 1)
    assert series(router, "puna_router_shadow_generated_tokens_total") == 10


TIMINGS = {
    "prompt_n": 7, "cache_n": 5, "predicted_n": 9,
    "predicted_per_token_ms": 12.5, "predicted_ms": 112.5,
}  # fmt: skip
OF_ANSWERS = (
    "duration_seconds_count", "time_to_first_token_seconds_count", "inter_token_seconds_count",
)  # fmt: skip


async def counted(_: Recorded) -> AsyncIterator[bytes]:
    await asyncio.sleep(0.05)
    yield document(json.dumps({"timings": TIMINGS}).encode())


async def counted_stream(_: Recorded) -> AsyncIterator[bytes]:
    yield head(content_type="text/event-stream", transfer_encoding="chunked")
    yield chunk(f"data: {json.dumps({'timings': TIMINGS})}\n\n".encode()) + b"0\r\n\r\n"


def test_copies_have_series_and_lines_of_their_own_and_cost_no_key_anything(
    stubs: Stubs, start_router: StartRouter
) -> None:
    old, new = stubs.start(counted), stubs.start(counted_stream)
    limits = {"requestsPerMinute": 60, "burst": 4, "maxConcurrency": 1}
    content = chat(access={"secret": SECRET})
    keys = {SECRET: {"alice": key("alice", **limits)}}
    router = started(start_router, content, old, new, keys=keys)
    headers = {"authorization": f"Bearer {text_of('alice')}"}
    for _ in range(4):
        assert router.client.post(CHAT, json=BODY, headers=headers).status_code == 200
    of_new = {"endpoint": "chat", "revision": f"chat-{NEW}"}
    eventually(lambda: series(router, "puna_router_shadow_requests_total", **of_new) == 4)
    names = [f"puna_router_shadow_{name}" for name in OF_ANSWERS]
    eventually(lambda: [series(router, name, **of_new) for name in names] == [4, 4, 4])
    assert series(router, "puna_router_shadow_generated_tokens_total", **of_new) == 36
    assert series(router, "puna_router_shadow_generation_seconds_total", **of_new) == 0.448
    assert series(router, "puna_router_requests_total", revision=f"chat-{NEW}") == 0
    assert series(router, "puna_router_generated_tokens_total", key="alice") == 36
    lines = [json.loads(line) for line in router.log.read_text().splitlines() if '"path"' in line]
    copies = [line for line in lines if line.get("shadow") == "true"]
    assert {(line["revision"], line.get("key")) for line in copies} == {(f"chat-{NEW}", None)}
    assert [line.get("key") for line in lines if "shadow" not in line] == ["alice"] * 4
    assert {"authorization", "x-api-key"}.isdisjoint(name for name, _ in new.requests[0].headers)


def test_without_the_picker_nothing_is_copied(stubs: Stubs, start_router: StartRouter) -> None:
    old, new = stubs.start(), stubs.start()
    router = started(start_router, chat(), old, new)
    pickers = [
        process
        for process in psutil.Process(router.process.pid).children(recursive=True)
        if "picker" in process.cmdline() and process.children() == []
    ]
    for process in pickers:
        process.suspend()
    try:
        assert router.client.post(CHAT, json=BODY).status_code == 200
        eventually(lambda: series(router, "puna_router_shadow_dropped_total", reason="none") == 1)
    finally:
        for process in pickers:
            process.resume()
    assert new.requests == []
