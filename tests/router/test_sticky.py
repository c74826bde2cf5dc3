"""Weights that grow while clients keep their side."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any

from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.stub import Stubs

CHAT = "/v1/chat/completions"
OLD, NEW = "aaaaaaaa", "bbbbbbbb"
CLIENTS = [f"client-{number}" for number in range(40)]


def split(new: int) -> list[Any]:
    """An endpoint whose revisions tell themselves apart by what they splice."""
    return [
        endpoint(
            "chat",
            revision(OLD, weight=100 - new, defaults={"side": "old"}),
            revision(NEW, weight=new, defaults={"side": "new"}),
            stickiness="Key",
            access={"secret": "keys", "requestsPerMinute": 1_000_000, "burst": 1_000_000},
        )
    ]


def side(router: RouterProgram, name: str) -> str:
    headers = {"authorization": f"Bearer {name}"}
    answer = router.client.post(CHAT, json={"prompt": "x"}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["side"]
    return found


def sides(router: RouterProgram) -> dict[str, str]:
    """The side of each client, which has to be the same for three requests."""
    with ThreadPoolExecutor(8) as pool:
        rounds = [
            dict(zip(CLIENTS, pool.map(lambda name: side(router, name), CLIENTS), strict=True))
            for _ in range(3)
        ]
    assert rounds[0] == rounds[1] == rounds[2]
    return rounds[0]


def weights(router: RouterProgram) -> list[int]:
    headers = {"authorization": f"Bearer {CLIENTS[0]}"}
    page = router.client.get("/endpoints/chat/status", headers=headers).json()
    return [found["weight"] for found in page["revisions"]]


def same(router: RouterProgram, expected: list[int]) -> bool:
    return weights(router) == expected


def test_growing_weights_move_no_client_back(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start()
    backends = {"chat": [stub.backend()]}
    keys = {name: {"sha256": sha256(name.encode()).hexdigest()} for name in CLIENTS}
    router = start_router(split(0), backends, keys={"keys": keys})
    router.wait_healthy(1)
    moved: set[str] = set()
    shares = []
    for weight in (0, 10, 50, 90, 100):
        if weight:
            router.update(split(weight), backends)
        expected = [100 - weight, weight]
        eventually(partial(same, router, expected))
        new = {name for name, found in sides(router).items() if found == "new"}
        assert moved <= new
        moved = new
        shares.append(len(new))
    assert shares[0] == 0
    assert shares[-1] == len(CLIENTS)
    assert 10 <= shares[2] <= 30
    assert json.loads(stub.requests[-1].body)["side"] == "new"
