"""What a router tells of each revision, counted by the real Envoy: errors, times, tokens."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import exp, log

import httpx
import psutil
import pytest

from puna_router.control.access_log import PATIENCE
from puna_router.samples import EndpointSamples, RevisionSamples, Spread
from tests.router.conftest import StartRouter
from tests.router.lab import LabProgram
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.test_keys import SECRET, key, text_of

CHAT = "/v1/chat/completions"
STABLE, CANARY, OTHER_PROCESS = "aaaaaaaa", "bbbbbbbb", "bbbbbbbb"


def samples(router: RouterProgram, name: str = "chat") -> EndpointSamples:
    answer = httpx.get(f"{router.control}/samples/{name}")
    return EndpointSamples.model_validate_json(answer.raise_for_status().text)


def ask(router: RouterProgram, count: int, **body: object) -> float:
    """Send requests one after the other; returns their mean logarithm of milliseconds.

    Envoy has seen no more of that time, and no less than the server took.
    """
    logs = 0.0
    for _ in range(count):
        began = time.monotonic()
        with suppress(httpx.RemoteProtocolError):  # an answer that broke off
            router.client.post(CHAT, json={"model": "chat", "messages": []} | body)
        logs += log(1000 * (time.monotonic() - began))
    return logs / count


def mean_log(spread: Spread) -> float:
    return spread.logs / spread.count


def test_errors_times_and_tokens_are_counted_by_revision(start_router: StartRouter) -> None:
    quick = LabProgram("--tokens", "20", "--interval", "0.002")
    slow = LabProgram("--tokens", "20", "--interval", "0.01", "--prefill", "0.15")
    with quick, slow:
        revisions = [revision(STABLE), revision(CANARY, process=OTHER_PROCESS, weight=0)]
        backends = {"chat": [quick.backend, slow.backend | {"process": OTHER_PROCESS}]}
        router = start_router([endpoint("chat", *revisions)], backends)
        router.wait_healthy(2)
        began = time.monotonic()
        assert samples(router).revisions == {STABLE: RevisionSamples(), CANARY: RevisionSamples()}
        quick_log = ask(router, 10, stream=True)
        only_canary = [revision(STABLE, weight=0), {**revisions[1], "weight": 100}]
        router.update([endpoint("chat", *only_canary)], backends)
        slow_log = ask(router, 10, stream=True)
        slow.follow(error_500=1.0)
        ask(router, 3)
        slow.follow(truncate=1.0)
        ask(router, 2, stream=True)
        eventually(lambda: samples(router).revisions[CANARY].token_time.count == 10)
        before = time.monotonic()
        found = samples(router)
        stable, canary = found.revisions[STABLE], found.revisions[CANARY]
        assert (stable.requests, stable.failed) == (10, 0)
        assert (canary.requests, canary.failed) == (15, 5)
        assert stable.duration.count == stable.time_to_first_token.count == 10
        assert canary.token_time.count == 10
        assert stable.generated_tokens == canary.generated_tokens == 200
        assert log(20 * 2) - 0.25 < mean_log(stable.duration) < quick_log + 0.25
        assert log(20 * 10 + 150) - 0.25 < mean_log(canary.duration) < slow_log + 0.25
        assert exp(mean_log(canary.time_to_first_token)) > 150
        assert found.uptime_seconds >= before - began


def test_who_gives_up_on_a_server_that_hangs_counts_as_failed(start_router: StartRouter) -> None:
    """Who leaves soon does not count at all: it may have had other reasons."""
    with LabProgram("--tokens", "4") as lab:
        router = start_router([endpoint("chat")], {"chat": [lab.backend]})
        router.wait_healthy(1)
        ask(router, 2)
        lab.follow(stall_before=1.0)

        def leave(seconds: float) -> None:
            with pytest.raises(httpx.ReadTimeout):
                router.client.post(CHAT, json={"model": "chat", "messages": []}, timeout=seconds)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(leave, [0.3] * 4 + [PATIENCE / 1000 + 0.5] * 3))
        eventually(lambda: samples(router).revisions[STABLE].requests == 5)
        eventually(lambda: samples(router).revisions[STABLE].duration.count == 2)
        found = samples(router).revisions[STABLE]
        assert (found.requests, found.failed, found.duration.count) == (5, 3, 2)


def test_what_limits_of_a_key_refuse_counts_for_nobody(start_router: StartRouter) -> None:
    often = {"requestsPerMinute": 6000, "burst": 1000}
    keys = {
        "hasty": key("hasty", requestsPerMinute=1, burst=1),
        "broad": key("broad", maxConcurrency=1, **often),
        "spent": key("spent", tokensPerMinute=1, **often),
    }
    with LabProgram("--tokens", "20", "--interval", "0.02") as lab:
        keyed = endpoint("chat", access={"secret": SECRET})
        router = start_router([keyed], {"chat": [lab.backend]}, keys={SECRET: keys})
        router.wait_healthy(1)

        def post(name: str) -> int:
            headers = {"authorization": f"Bearer {text_of(name)}"}
            body = {"model": "chat", "messages": []}
            return router.client.post(CHAT, json=body, headers=headers).status_code

        codes = [post("hasty") for _ in range(5)]
        with ThreadPoolExecutor(4) as pool:
            codes += pool.map(post, ["broad"] * 4)

        def is_spent() -> bool:
            codes.append(post("spent"))
            return codes[-1] == 429

        eventually(is_spent)
        assert codes.count(429) == 4 + 3 + 1
        expected = codes.count(200)
        eventually(lambda: samples(router).revisions[STABLE].requests == expected)
        assert samples(router).revisions[STABLE].failed == 0


def test_a_start_of_envoy_has_a_name_of_its_own(start_router: StartRouter) -> None:
    router = start_router([endpoint("chat")], {"chat": []})
    first = samples(router).start
    time.sleep(1.1)
    assert samples(router).start == first
    children = psutil.Process(router.process.pid).children()
    (envoy,) = (child for child in children if child.name() == "envoy")
    envoy.kill()
    eventually(lambda: started_again(router, first), 20)


def started_again(router: RouterProgram, first: str | None) -> bool:
    answer = httpx.get(f"{router.control}/samples/chat")
    if answer.status_code == 503:
        return False
    return EndpointSamples.model_validate_json(answer.raise_for_status().text).start != first


def test_a_revision_that_left_the_document_is_told_on(start_router: StartRouter) -> None:
    """It may come back: then its past has to be known, lest it count as new."""
    with LabProgram("--tokens", "4") as lab:
        both = [revision(STABLE, weight=0), revision(CANARY)]
        backends = {name: [lab.backend] for name in ("chat", "chat-x")}
        router = start_router([endpoint("chat", *both), endpoint("chat-x")], backends)
        router.wait_healthy(1)
        router.wait_healthy(1, "chat-x")
        lab.follow(error_500=1.0)
        ask(router, 3)
        lab.follow()
        ask(router, 2)
        ask(router, 4, model="chat-x")
        before = samples(router)
        assert before.revisions[STABLE] == RevisionSamples()
        canary = before.revisions[CANARY]
        assert (canary.requests, canary.failed) == (5, 3)
        router.update([endpoint("chat", revision(STABLE)), endpoint("chat-x")], backends)
        ask(router, 1)
        eventually(lambda: samples(router).revisions[CANARY].duration.count == 2)
        after = samples(router).revisions
        assert set(after) == {STABLE, CANARY}
        assert (after[CANARY].requests, after[CANARY].failed) == (5, 3)
        assert after[CANARY].duration.count == 2
        assert after[STABLE].requests == 1
        assert samples(router, "chat-x").revisions[STABLE].requests == 4


def test_an_endpoint_that_is_not_served_has_no_samples(start_router: StartRouter) -> None:
    router = start_router([endpoint("chat")], {"chat": []})
    assert httpx.get(f"{router.control}/samples/nowhere").status_code == 404
    eventually(lambda: samples(router).revisions == {STABLE: RevisionSamples()})
