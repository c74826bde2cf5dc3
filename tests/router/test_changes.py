"""Documents and backends that change while requests run."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from puna_router.config import EndpointPhase
from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually, revision
from tests.router.stub import Gate, Stub, Stubs, echo, stream

CHAT = "/v1/chat/completions"
OLD, NEW = "aaaaaaaa", "bbbbbbbb"
OLD_PROCESS, NEW_PROCESS = "00000001", "00000002"


class Streaming:
    """One stream that runs in the background."""

    def __init__(self, router: RouterProgram, path: str = CHAT) -> None:
        self._begun = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._text = self._pool.submit(self._read, router, path)
        assert self._begun.wait(30)

    def _read(self, router: RouterProgram, path: str) -> str:
        parts = []
        with router.client.stream("POST", path, json={"stream": True}) as answer:
            for part in answer.iter_text():
                parts.append(part)
                self._begun.set()
        return "".join(parts)

    def assert_complete(self, events: int) -> None:
        text = self._text.result(30)
        self._pool.shutdown()
        assert text.count('"token"') == events
        assert text.endswith("data: [DONE]\n\n")


def served_by(router: RouterProgram, stubs: dict[str, Stub], requests: int) -> Counter[str]:
    """How many of some requests each stub got; every one has to succeed."""
    before = {name: len(stub.requests) for name, stub in stubs.items()}
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(
            lambda _: router.client.post(CHAT, json={}).status_code, range(requests)
        )
        assert {200} == set(statuses)
    return Counter({name: len(stub.requests) - before[name] for name, stub in stubs.items()})


def are_all_of(router: RouterProgram, stub: Stub, requests: int) -> bool:
    """Whether a stub gets all of some requests, and answers them."""
    before = len(stub.requests)
    answers = [router.client.post(CHAT, json={}).status_code for _ in range(requests)]
    return set(answers) == {200} and len(stub.requests) - before == requests


def test_a_router_that_starts_while_its_document_changes_knows_the_endpoint_once_it_is_ready(
    stubs: Stubs, start_router: StartRouter
) -> None:
    backends = {"chat": [stubs.start().backend(OLD_PROCESS)]}

    def documents(number: int) -> list[dict[str, Any]]:
        """Others with each number; Envoy has to be asked about each, which takes a while."""
        changed = revision(f"{number:08x}", process=OLD_PROCESS)
        return [endpoint("chat", changed), *(endpoint(f"other-{each}") for each in range(60))]

    router = start_router(documents(0), backends, wait=False)
    numbers = itertools.count(1)

    def is_ready() -> bool:
        if router.ready():
            return True
        router.rewrite(documents(next(numbers)), backends)
        return False

    eventually(is_ready, 60, pause=0.05)
    models = router.client.get("/v1/models").json()["data"]
    assert "chat" in {model["id"] for model in models}


def test_the_state_tells_what_is_under_way(stubs: Stubs, start_router: StartRouter) -> None:
    gate = Gate()
    busy = stubs.start(stream(20, 0.01, gate))
    router = start_router(
        [endpoint("chat", revision(OLD, process=OLD_PROCESS))],
        {"chat": [busy.backend(OLD_PROCESS)]},
    )
    router.wait_healthy(1)

    def in_flight() -> list[int | None]:
        return [backend.in_flight for backend in router.state().endpoints["chat"].backends]

    assert in_flight() == [0]
    running = Streaming(router)
    eventually(lambda: in_flight() == [1])
    gate.open()
    running.assert_complete(20)
    eventually(lambda: in_flight() == [0])


def test_a_stream_survives_every_kind_of_change(stubs: Stubs, start_router: StartRouter) -> None:
    gate = Gate()
    old, new = stubs.start(stream(60, 0.01, gate)), stubs.start()
    chat = endpoint("chat", revision(OLD, process=OLD_PROCESS))
    router = start_router([chat], {"chat": [old.backend(OLD_PROCESS)]})
    router.wait_healthy(1)
    running = Streaming(router)
    old.answer = echo
    # A preset, the health check, another endpoint, a shift of all traffic, the end of the revision.
    router.update(
        [endpoint("chat", revision(OLD, process=OLD_PROCESS, defaults={"a": 1}))],
        {"chat": [old.backend(OLD_PROCESS)]},
    )
    slower = {"intervalSeconds": 0.3, "failureThreshold": 3}
    router.update(
        [
            endpoint("chat", revision(OLD, process=OLD_PROCESS), healthCheck=slower),
            endpoint("code"),
        ],
        {"chat": [old.backend(OLD_PROCESS)], "code": []},
    )
    both = [old.backend(OLD_PROCESS), new.backend(NEW_PROCESS)]
    router.update(
        [
            endpoint(
                "chat",
                revision(OLD, process=OLD_PROCESS, weight=0),
                revision(NEW, process=NEW_PROCESS),
            )
        ],
        {"chat": both},
    )
    eventually(lambda: router.client.post(CHAT, json={}).is_success and new.requests)
    router.update(
        [endpoint("chat", revision(NEW, process=NEW_PROCESS))],
        {"chat": [new.backend(NEW_PROCESS)]},
    )
    gate.open()
    running.assert_complete(60)


def test_a_removed_backend_finishes_its_stream_and_gets_nothing_new(
    stubs: Stubs, start_router: StartRouter
) -> None:
    gate = Gate()
    goes, stays = stubs.start(stream(40, 0.01, gate)), stubs.start()
    router = start_router([endpoint()], {"chat": [goes.backend()]})
    router.wait_healthy(1)
    running = Streaming(router)
    router.update([endpoint()], {"chat": [stays.backend()]})
    router.wait_healthy(1)
    got = served_by(router, {"goes": goes, "stays": stays}, 50)
    assert Counter(goes=0, stays=50) == got
    gate.open()
    running.assert_complete(40)


def test_weights_split_and_nothing_reaches_weight_0(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = {"old": stubs.start(), "new": stubs.start()}
    backends = {"chat": [pair["old"].backend(OLD_PROCESS), pair["new"].backend(NEW_PROCESS)]}

    def split(old: int, new: int) -> list[object]:
        return [
            endpoint(
                "chat",
                revision(OLD, process=OLD_PROCESS, weight=old),
                revision(NEW, process=NEW_PROCESS, weight=new),
            )
        ]

    router = start_router(split(100, 0), backends)
    eventually(lambda: router.state().endpoints["chat"].backends[0].healthy)
    assert Counter(old=1000, new=0) == served_by(router, pair, 1000)
    router.update(split(75, 25), backends)
    eventually(lambda: served_by(router, pair, 40)["new"])
    got = served_by(router, pair, 800)
    assert 0.18 < got["new"] / 800 < 0.32
    validations = metric(router, "puna_router_validations")
    router.update(split(0, 100), backends)
    assert Counter(old=0, new=500) == served_by(router, pair, 500)
    # Another weight of a known shape is not validated again.
    assert validations == metric(router, "puna_router_validations")


def metric(router: RouterProgram, name: str) -> float:
    lines = router.metrics().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_a_revision_without_a_usable_backend_counts_as_0(
    stubs: Stubs, start_router: StartRouter
) -> None:
    pair = {"old": stubs.start(), "new": stubs.start()}
    document = [
        endpoint(
            "chat",
            revision(OLD, process=OLD_PROCESS, weight=50),
            revision(NEW, process=NEW_PROCESS, weight=50),
        )
    ]
    router = start_router(document, {"chat": [pair["old"].backend(OLD_PROCESS)]})
    router.wait_healthy(1)
    assert Counter(old=200, new=0) == served_by(router, pair, 200)
    both = {"chat": [pair["old"].backend(OLD_PROCESS), pair["new"].backend(NEW_PROCESS)]}
    router.update(document, both)
    eventually(lambda: served_by(router, pair, 20)["new"])
    # Ill for Envoy, though its Pod may still be ready.
    pair["old"].health = 503
    router.wait_healthy(1)
    eventually(lambda: are_all_of(router, pair["new"], 40))
    assert Counter(old=0, new=200) == served_by(router, pair, 200)
    pair["old"].health = 200
    eventually(lambda: served_by(router, pair, 20)["old"])
    router.update(document, {"chat": [pair["old"].backend(OLD_PROCESS)]})
    assert Counter(old=200, new=0) == served_by(router, pair, 200)


def test_revisions_that_share_their_pods_have_their_own_presets(
    stubs: Stubs, start_router: StartRouter
) -> None:
    stub = stubs.start()
    router = start_router(
        [
            endpoint(
                "chat",
                revision(OLD, weight=50, defaults={"side": "old"}),
                revision(NEW, weight=50, defaults={"side": "new"}),
            )
        ],
        {"chat": [stub.backend()]},
    )
    eventually(lambda: router.client.post(CHAT, json={}).status_code == 200)
    sides = Counter(router.client.post(CHAT, json={}).json()["side"] for _ in range(100))
    assert set(sides) == {"old", "new"}


def test_a_document_that_envoy_refuses_blocks_nobody_and_is_named(
    stubs: Stubs, start_router: StartRouter
) -> None:
    stub = stubs.start()
    backends = {"chat": [stub.backend()], "code": [stub.backend()], "more": [stub.backend()]}
    router = start_router([endpoint("chat"), endpoint("code")], backends)
    router.wait_healthy(1)
    good = router.state().endpoints["chat"].digest
    too_short = {"intervalSeconds": 1e-12, "failureThreshold": 2}
    router.update(
        [endpoint("chat", healthCheck=too_short), endpoint("code"), endpoint("more")], backends
    )
    eventually(lambda: "more" in router.state().endpoints)
    states = router.state().endpoints
    assert states["chat"].phase is EndpointPhase.REJECTED
    assert "HealthCheck" in (states["chat"].message or "")
    assert good == states["chat"].digest
    assert EndpointPhase.APPLIED is states["more"].phase
    router.wait_healthy(1, "more")
    for model in ("chat", "code", "more"):
        assert router.client.post(CHAT, json={"model": model}).status_code == 200
    router.update([endpoint("chat"), endpoint("code")], backends)
    eventually(lambda: router.state().endpoints["chat"].phase is EndpointPhase.APPLIED)
    assert {"chat", "code"} == set(router.state().endpoints)


def test_more_endpoints_are_served_than_a_user_may_watch_files(
    stubs: Stubs, start_router: StartRouter
) -> None:
    """128 instances of inotify are what Linux gives; Envoy would end itself without them."""
    stub = stubs.start()
    names = [f"model-{number}" for number in range(150)]
    check = {"intervalSeconds": 5, "failureThreshold": 2}
    router = start_router(
        [endpoint(name, healthCheck=check) for name in names],
        {name: [stub.backend()] for name in names},
    )
    for name in (names[0], names[-1]):
        router.wait_healthy(1, name)
        assert router.client.post(CHAT, json={"model": name}).status_code == 200
    envoy = next(p for p in psutil.Process(router.process.pid).children() if p.name() == "envoy")
    files = Path(f"/proc/{envoy.pid}/fd")
    if files.exists():
        kinds = Counter(str(file.readlink()) for file in files.iterdir())
        assert kinds["anon_inode:inotify"] < 10


def test_a_file_that_is_no_router_file_changes_nothing(
    stubs: Stubs, start_router: StartRouter, tmp_path: Path
) -> None:
    stub = stubs.start()
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    before = router.state()
    (tmp_path / "router.json").write_text('{"endpoints": [{"name": "Not A Name"}]}')
    eventually(lambda: "is not taken" in router.log.read_text())
    assert before == router.state()
    assert router.client.post(CHAT, json={}).status_code == 200


def test_nothing_is_written_while_nothing_changes(stubs: Stubs, start_router: StartRouter) -> None:
    stub = stubs.start()
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)

    def files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in router.directory.rglob("*.json")}

    before, written = files(), metric(router, "puna_router_files_written")
    time.sleep(1.5)
    assert (before, written) == (files(), metric(router, "puna_router_files_written"))


def test_a_router_that_ends_lets_its_streams_end(stubs: Stubs, start_router: StartRouter) -> None:
    gate = Gate()
    stub = stubs.start(stream(40, 0.01, gate))
    router = start_router([endpoint()], {"chat": [stub.backend()]}, drain_seconds=600)
    router.wait_healthy(1)
    running = Streaming(router)
    router.process.terminate()
    eventually(lambda: not router.ready())
    gate.open()
    running.assert_complete(40)
    assert router.process.wait(30) == 0


@pytest.mark.parametrize("old_weight", [0, None], ids=["beside", "alone"])
def test_no_request_is_lost_to_a_revision_whose_servers_fail_their_first_check(
    stubs: Stubs, start_router: StartRouter, old_weight: int | None
) -> None:
    """Both have the same server, which is healthy for the former one for a while yet."""
    server = stubs.start()
    backends = {"chat": [server.backend(OLD_PROCESS)]}
    patient = {"healthCheck": {"intervalSeconds": 0.2, "failureThreshold": 100}}
    old = revision(OLD, process=OLD_PROCESS, expected=1)
    new = revision(NEW, process=OLD_PROCESS, expected=1)
    router = start_router([endpoint("chat", old, **patient)], backends)
    server.health = 503
    former = [] if old_weight is None else [old | {"weight": old_weight}]
    over = threading.Event()

    def ask() -> Counter[int]:
        """Until it is over."""
        seen: Counter[int] = Counter()
        while not over.is_set():
            seen[router.client.post(CHAT, json={}).status_code] += 1
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            router.update([endpoint("chat", new, *former, **patient)], backends)
            checks = server.checks
            eventually(lambda: server.checks > checks + 4)
            server.health = 200
            router.wait_healthy(1)
        finally:
            over.set()
        assert {status for each in asking for status in each.result(30)} == {200}
