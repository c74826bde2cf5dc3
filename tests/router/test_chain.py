"""The chain of filters around the picker: what it is asked, what becomes of its answers."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from puna_router.control.routes import COUNTED, UNCOUNTED
from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.stub import PROCESS, Gate, Recorded, Stubs, document

CHAT = "/v1/chat/completions"
LUA = Path(__file__).parents[2] / "operator" / "puna_router" / "lua"


def paced(seconds: float) -> Callable[[Recorded], AsyncIterator[bytes]]:
    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        await asyncio.sleep(seconds)
        yield document(b"{}")

    return answer


def metric(router: RouterProgram, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", router.metrics(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def burst(
    router: RouterProgram, requests: int, **body: Any
) -> tuple[ThreadPoolExecutor, list[Future[httpx.Response]]]:
    pool = ThreadPoolExecutor(requests)
    return pool, [pool.submit(router.client.post, CHAT, json=body) for _ in range(requests)]


def picker_of(router: RouterProgram) -> psutil.Process:
    """The router's picker; its guard is the router's child."""
    processes = psutil.Process(router.process.pid).children(recursive=True)
    _, picker = (process for process in processes if "picker" in process.cmdline())
    return picker


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert found["code"] == answer.status_code
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


@pytest.mark.parametrize("strategy", ["PrefixAffinity", "LeastBusy", "RoundRobin"])
def test_a_burst_waits_for_slots_and_none_is_exceeded(
    stubs: Stubs, start_router: StartRouter, strategy: str
) -> None:
    pair = [stubs.start(paced(0.1)), stubs.start(paced(0.1))]
    router = start_router(
        [endpoint("chat", revision(slots=2), strategy=strategy)],
        {"chat": [stub.backend() for stub in pair]},
    )
    router.wait_healthy(2)
    pool, answers = burst(router, 30, prompt="x")
    assert {200} == {answer.result().status_code for answer in answers}
    pool.shutdown()
    assert max(stub.peak for stub in pair) == 2
    assert min(len(stub.requests) for stub in pair) >= 10
    assert metric(router, 'puna_router_slots_busy{endpoint="chat"}') == 0
    assert metric(router, 'puna_router_picked_total{endpoint="chat"}') == 30


def test_what_finds_no_place_is_refused_in_the_pickers_words(
    stubs: Stubs, start_router: StartRouter
) -> None:
    gate = Gate()
    stub = stubs.start(gate.answer)
    queue = {"maxDepth": 1, "timeoutSeconds": 3}
    router = start_router(
        [endpoint("chat", revision(slots=1), queue=queue)], {"chat": [stub.backend()]}
    )
    router.wait_healthy(1)
    with ThreadPoolExecutor(2) as pool:
        served = pool.submit(router.client.post, CHAT, json={})
        eventually(lambda: stub.active == 1)
        waits = pool.submit(router.client.post, CHAT, json={})
        eventually(lambda: metric(router, 'puna_router_queue_depth{endpoint="chat"}') == 1)
        refused = [router.client.post(CHAT, json={}) for _ in range(2)]
        refused.append(waits.result())
        gate.open()
        assert served.result().status_code == 200
    reasons = [error(answer)["reason"] for answer in refused]
    assert reasons == ["queue_full", "queue_full", "queue_timeout"]
    for answer in refused:
        assert answer.status_code == 429
        assert error(answer)["type"] == "overloaded_error"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/json"
    assert stub.peak == 1


def test_a_wait_may_be_longer_than_a_backend_may_be_silent(
    stubs: Stubs, start_router: StartRouter
) -> None:
    slow, silent = stubs.start(paced(1.5)), stubs.start(Gate().answer)
    limits = {"idleTimeoutSeconds": 4, "retries": 0}
    router = start_router(
        [endpoint(name, revision(slots=1), **limits) for name in ("chat", "silent")],
        {"chat": [slow.backend()], "silent": [silent.backend()]},
    )
    router.wait_healthy(1)
    router.wait_healthy(1, "silent")
    pool, answers = burst(router, 4, model="chat")
    began = time.monotonic()
    answer = router.client.post(CHAT, json={"model": "silent"})
    assert (answer.status_code, error(answer)["reason"]) == (504, "backend_timeout")
    assert time.monotonic() - began > 3.9
    assert {200} == {answer.result().status_code for answer in answers}
    pool.shutdown()


def test_who_waits_goes_on_where_the_endpoint_goes_on(
    stubs: Stubs, start_router: StartRouter
) -> None:
    old, new = stubs.start(), stubs.start()
    before = [endpoint("chat", revision("aaaaaaaa", process=PROCESS, expected=1))]
    router = start_router(before, {"chat": [old.backend()]})
    router.wait_healthy(1)
    # The old server is gone before the new one is there.
    router.update(before, {"chat": []})
    eventually(lambda: metric(router, 'puna_router_slots{endpoint="chat"}') == 0)
    pool, answers = burst(router, 3)
    eventually(lambda: metric(router, 'puna_router_queue_depth{endpoint="chat"}') == 3)
    after = [endpoint("chat", revision("bbbbbbbb", process="00000002"))]
    router.update(after, {"chat": [new.backend("00000002")]})
    assert {200} == {answer.result().status_code for answer in answers}
    pool.shutdown()
    assert len(new.requests) == 3


def test_without_a_picker_envoy_balances_by_itself_and_the_router_stays_ready(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = [stubs.start(), stubs.start()]
    router = start_router([endpoint()], {"chat": [stub.backend() for stub in pair]})
    router.wait_healthy(2)
    picker = picker_of(router)
    picker.suspend()
    # It hangs: each request is held up for a moment, and by no means for as long as it hangs.
    began = time.monotonic()
    pool, answers = burst(router, 16)
    assert {200} == {answer.result().status_code for answer in answers}
    assert time.monotonic() - began > 1.8
    assert picker.status() == psutil.STATUS_STOPPED
    pool.shutdown()
    assert all(stub.requests for stub in pair)
    assert metric(router, "puna_router_picker_bypassed_total") == 16
    assert metric(router, "puna_router_picker_up") == 0
    assert router.ready()
    picker.kill()
    picker.wait(10)
    eventually(lambda: metric(router, "puna_router_picker_up") == 1)
    assert router.client.post(CHAT, json={}).status_code == 200
    assert metric(router, 'puna_router_picked_total{endpoint="chat"}') == 1


def test_conversations_stay_with_their_server_even_without_a_picker(
    stubs: Stubs, start_router: StartRouter
) -> None:
    stubs_of = [stubs.start() for _ in range(4)]
    router = start_router([endpoint()], {"chat": [stub.backend() for stub in stubs_of]})
    router.wait_healthy(4)

    def served_by(conversation: int, turns: int = 4) -> set[int]:
        messages: list[Any] = []
        found = set()
        for turn in range(turns):
            messages.append({"role": "user", "content": f"{conversation} {turn}"})
            before = [len(stub.requests) for stub in stubs_of]
            assert router.client.post(CHAT, json={"messages": messages}).status_code == 200
            after = [len(stub.requests) for stub in stubs_of]
            found.add(next(n for n in range(4) if after[n] != before[n]))
            messages.append({"role": "assistant", "content": "yes"})
        return found

    assert {1} == {len(served_by(conversation)) for conversation in range(20)}
    assert metric(router, 'puna_router_prefix_hits_total{endpoint="chat"}') == 60
    picker = picker_of(router)
    picker.suspend()
    # Three waits for it are over before its guard takes it for dead.
    assert len(served_by(20, turns=3)) == 1
    picker.resume()


def test_nobody_outside_speaks_for_the_chain_or_hears_it(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = [stubs.start(), stubs.start()]
    router = start_router([endpoint(strategy="RoundRobin")], {"chat": [s.backend() for s in pair]})
    router.wait_healthy(2)
    forged = {
        "x-puna-session": "MTI3LjAuMC4xOjE=",
        "x-puna-cluster": "picker",
        "x-puna-target": "chat",
        "x-puna-client": "alice",
        "x-puna-slots": "0",
        "x-puna-prefix": "x:1",
        "x-puna-affinity": "x",
    }
    for method, path in (("POST", CHAT), ("GET", "/endpoints/chat/props")):
        for _ in range(4):
            body: dict[str, str] | None = {} if method == "POST" else None
            answer = router.client.request(method, path, headers=forged, json=body)
            assert answer.status_code == 200
            assert not [name for name in answer.headers if name.startswith("x-puna")]
    for stub in pair:
        assert len(stub.requests) >= 2
        for request in stub.requests:
            assert not [name for name, _ in request.headers if name.startswith("x-puna")]


def test_only_what_takes_a_slot_asks_the_picker(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start()
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    for path in ("/health", "/v1/models", "/endpoints/chat/props", "/endpoints/chat/status"):
        assert router.client.get(path).status_code == 200
    for path in ("tokenize", "detokenize", "apply-template", "v1/messages/count_tokens"):
        assert router.client.post(f"/endpoints/chat/{path}", json={}).status_code == 200
    assert metric(router, 'puna_router_picked_total{endpoint="chat"}') == 0
    picker = picker_of(router)
    picker.suspend()
    assert router.client.get("/endpoints/chat/props").status_code == 200
    assert router.client.post("/endpoints/chat/tokenize", json={}).status_code == 200
    picker.resume()
    # Who asks one that hangs goes on without an answer, which is counted.
    assert metric(router, "puna_router_picker_bypassed_total") == 0


def test_paths_that_take_a_slot_are_the_ones_that_the_picker_is_asked_about() -> None:
    surface = (LUA / "surface.lua").read_text()
    declared = re.findall(r"^local ([A-Z_]+) = \{(.*?)\}", surface, re.MULTILINE | re.DOTALL)
    kinds = {name for name, text in declared if "slot = true" in text}
    paths = re.findall(r'^  \["(/[^"]+)"\] = (.*?),(?: --.*)?$', surface, re.MULTILINE)
    for path, kind in paths:
        takes = kind in kinds or "slot = true" in kind
        asks = any(re.fullmatch(known, path) for known in (COUNTED, UNCOUNTED))
        assert (path, asks) == (path, takes)
    for path in ("/llm/generate", "/llm/generate/stream"):
        assert re.fullmatch(COUNTED, path)


def test_clients_are_told_how_their_endpoint_is_served(
    stubs: Stubs, start_router: StartRouter
) -> None:
    gate = Gate()
    pair = [stubs.start(gate.answer), stubs.start()]
    document = endpoint(
        "chat",
        revision("aaaaaaaa", weight=75, slots=3),
        revision("bbbbbbbb", process="00000002", weight=25),
        presets={"precise": {}},
        queue={"maxDepth": 5, "timeoutSeconds": 90},
    )
    router = start_router([document], {"chat": [stub.backend() for stub in pair]})
    router.wait_healthy(2)
    pair[1].health = 503
    eventually(lambda: metric(router, 'puna_router_slots{endpoint="chat"}') == 3)
    pool, answers = burst(router, 4)
    eventually(lambda: status(router)["queue"]["depth"] == 1)
    page = status(router)
    assert page["models"] == ["chat", "chat:precise"]
    assert page["routing"] == {
        "healthCheck": {"intervalSeconds": 0.2, "failureThreshold": 2},
        "idleTimeoutSeconds": 300,
        "keepAliveSeconds": 15,
        "queue": {"maxDepth": 5, "timeoutSeconds": 90},
        "retries": 1,
        "stickiness": "None",
        "strategy": "PrefixAffinity",
    }
    assert page["queue"] == {"depth": 1, "maxDepth": 5}
    assert [(found["name"], found["weight"], found["percent"]) for found in page["revisions"]] == [
        ("aaaaaaaa", 75, 100.0),
        ("bbbbbbbb", 25, 0.0),
    ]
    backends = sorted(page["backends"], key=lambda found: found["healthy"])
    assert [(found["healthy"], found["busy"], found["slots"]) for found in backends] == [
        (False, 0, 3),
        (True, 3, 3),
    ]
    assert "127.0.0.1" not in json.dumps(page)
    gate.open()
    assert {200} == {answer.result().status_code for answer in answers}
    pool.shutdown()
    preset = {"x-puna-preset": "precise"}
    assert router.client.get("/endpoints/chat/status", headers=preset).json()["name"] == "chat"
    assert router.client.get("/v1/status").status_code == 404
    assert router.client.get("/endpoints/none/status").status_code == 404


def status(router: RouterProgram) -> dict[str, Any]:
    answer = router.client.get("/endpoints/chat/status")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_sick_host_gets_nothing_more_soon_after_envoy_knows(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = [stubs.start(), stubs.start()]
    backends = {"chat": [stub.backend() for stub in pair]}
    router = start_router([endpoint(strategy="RoundRobin")], backends)
    router.wait_healthy(2)
    picker_file = router.directory / "picker.json"

    def told() -> list[bool]:
        hosts = json.loads(picker_file.read_text())["endpoints"]["chat"]["hosts"]
        return sorted(host["healthy"] for host in hosts)

    eventually(lambda: told() == [True, True])
    pair[0].health = 503
    router.wait_healthy(1)
    assert told() == [False, True]
    pair[0].health = 200
    router.wait_healthy(2)
    assert told() == [True, True]
    # A server that is gone is ejected before enough of its checks have failed.
    patient = {"intervalSeconds": 3, "failureThreshold": 100}
    router.update([endpoint(strategy="RoundRobin", healthCheck=patient)], backends)
    router.wait_healthy(2)
    pair[1].kill()
    for _ in range(6):
        assert router.client.post(CHAT, json={}).status_code == 200
    eventually(lambda: told() == [False, True])


def lines(router: RouterProgram) -> list[dict[str, Any]]:
    """Lines of the access log, which stand among other lines."""
    text = router.log.read_text().splitlines()
    return [json.loads(line) for line in text if line.startswith("{")]


def test_each_request_leaves_one_line_without_its_body(
    stubs: Stubs, start_router: StartRouter
) -> None:
    async def count(_: Recorded) -> AsyncIterator[bytes]:
        timings = {
            "prompt_n": 7, "cache_n": 5, "predicted_n": 9,
            "predicted_per_token_ms": 12.5, "predicted_ms": 112.5,
        }  # fmt: skip
        yield document(json.dumps({"timings": timings}).encode())

    stub = stubs.start(count)
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"x-request-id": "mine", "traceparent": trace, "authorization": "Bearer secret"}
    body = {"model": "chat", "messages": [{"role": "user", "content": "private"}]}
    assert router.client.post(CHAT, json=body, headers=headers).status_code == 200
    assert router.client.post(CHAT, json={"model": "nope"}).status_code == 404
    assert router.client.get("/health").status_code == 200
    eventually(lambda: len(lines(router)) == 2)
    served, refused = lines(router)
    expected = {
        "request_id": "mine", "traceparent": trace, "method": "POST", "path": CHAT,
        "endpoint": "chat", "revision": "chat-aaaaaaaa", "status": 200, "attempts": 1,
        "address": f"127.0.0.1:{stub.port}", "details": "via_upstream", "flags": "-",
        "prompt_tokens": 7, "cached_tokens": 5, "generated_tokens": 9,
    }  # fmt: skip
    assert expected.items() <= served.items()
    assert {"time", "duration_ms", "wait_ms", "first_token_ms", "bytes_sent"} <= served.keys()
    assert (refused["status"], refused["reason"]) == (404, "model_not_found")
    assert "endpoint" not in refused
    assert stub.requests[0].header("traceparent") == trace
    log = router.log.read_text()
    assert "private" not in log
    assert "secret" not in log
    chat = 'endpoint="chat",revision="chat-aaaaaaaa"'
    pace = f"puna_router_inter_token_seconds_count{{{chat}}}"
    eventually(lambda: metric(router, pace) == 1)
    assert metric(router, f"puna_router_generation_seconds_total{{{chat}}}") == 0.112
    tokens = (
        'puna_router_generated_tokens_total{endpoint="chat",key="none",revision="chat-aaaaaaaa"}'
    )
    assert metric(router, tokens) == 9
