"""What a router publishes after requests of every kind: what dashboard and alerts rely on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from tests.recording import ROUTER, compare
from tests.router.conftest import StartRouter
from tests.router.program import endpoint, eventually, revision
from tests.router.stub import Recorded, Stubs, document
from tests.router.test_keys import SECRET, key, text_of

CHAT = "/v1/chat/completions"
TIMINGS = {
    "prompt_n": 7, "cache_n": 5, "predicted_n": 9,
    "predicted_per_token_ms": 12.5, "predicted_ms": 112.5,
}  # fmt: skip
AFTERWARDS = (
    'puna_router_requests_total{code="200"',
    'puna_router_requests_total{code="429",endpoint="chat",key="alice",',
    'puna_router_failed_requests_total{endpoint="chat",revision="chat-aaaaaaaa"} 1.0',
    'puna_router_refused_total{endpoint="chat",reason="queue_full"}',
    "puna_router_inter_token_seconds_bucket{",
    "puna_router_generated_tokens_total{",
    "puna_router_time_to_first_token_seconds_bucket{",
)


async def answer(_: Recorded) -> AsyncIterator[bytes]:
    await asyncio.sleep(0.5)
    yield document(json.dumps({"timings": TIMINGS}).encode())


def test_the_series_are_those_that_dashboard_and_alerts_were_checked_with(
    stubs: Stubs, start_router: StartRouter
) -> None:
    stub = stubs.start(answer)
    queue = {"maxDepth": 1, "timeoutSeconds": 30}
    keyed = endpoint("chat", revision(slots=1), queue=queue, access={"secret": SECRET})
    router = start_router(
        [keyed], {"chat": [stub.backend()]}, keys={SECRET: {"alice": key("alice")}}
    )
    router.wait_healthy(1)
    headers = {"authorization": f"Bearer {text_of('alice')}"}
    with ThreadPoolExecutor(3) as pool:
        answers = [
            pool.submit(router.client.post, CHAT, json={"model": "chat"}, headers=headers)
            for _ in range(3)
        ]
    assert sorted(found.result().status_code for found in answers) == [200, 200, 429]
    assert router.client.get("/nowhere").status_code == 404
    eventually(lambda: all(begin in router.metrics() for begin in AFTERWARDS))
    compare(ROUTER, router.metrics())
