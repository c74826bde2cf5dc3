"""What the router's benchmarks measure with has to count and pace well itself."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.bench.compiled import program
from tests.bench.traffic import CHAT, StubServers, run_load
from tests.router.program import eventually

STREAM = '{"stream":true,"messages":[]}'

TRIES = 20


@pytest.fixture(scope="module", autouse=True)
def bench_program() -> None:
    """The compiled program, built now if it never was."""
    program()


def asking(servers: StubServers, body: str) -> socket.socket:
    """A client that has asked and does not read."""
    host, _, port = servers.addresses[0].partition(":")
    client = socket.create_connection((host, int(port)))
    head = f"POST {CHAT} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
    client.sendall((head + body).encode())
    return client


def test_it_counts_the_most_requests_at_once_and_makes_them_wait_for_slots() -> None:
    with StubServers(1, slots=2, before="100ms") as servers:
        done = run_load(f"{servers.urls[0]}{CHAT}", connections=6, requests=6)
        counts = servers.counts(0)
    assert (counts["requests"], counts["maxInFlight"], counts["inFlight"]) == (6, 6, 0)
    assert done.seconds >= 0.3
    assert (done.answers, done.failed) == (6, 0)


def test_all_of_its_slots_work_at_once() -> None:
    with StubServers(1, slots=2, before="600s") as servers, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(asking(servers, '{"messages":[]}'))
        eventually(lambda: (servers.counts(0)["busy"], servers.counts(0)["inFlight"]) == (2, 3))


def test_each_server_counts_for_itself_and_anew_after_a_reset() -> None:
    with StubServers(2) as servers:
        run_load(f"{servers.urls[1]}{CHAT}", requests=5)
        assert [servers.counts(number)["requests"] for number in (0, 1)] == [0, 5]
        servers.reset()
        assert servers.counts(1) == servers.counts(0)


def any_of(tries: Iterator[bool]) -> bool:
    """Whether one of some tries was well paced: a busy machine spoils one, and not all."""
    return any(itertools.islice(tries, TRIES))


def test_streams_are_paced_and_whole() -> None:
    def tries() -> Iterator[bool]:
        while True:
            done = run_load(f"{servers.urls[0]}{CHAT}", body=STREAM, connections=20, requests=20)
            assert (done.answers, done.failed) == (20, 0)
            assert done.latency["p50"] >= 230
            assert done.first["p50"] >= 50
            assert done.delay["count"] == 200
            yield done.most_open == 20 and done.latency["p50"] < 300 and done.first["p50"] < 100

    with StubServers(1, tokens=10, interval="20ms", before="50ms", chunk=250) as servers:
        assert any_of(tries())


def test_a_rate_is_kept() -> None:
    def tries() -> Iterator[bool]:
        while True:
            done = run_load(f"{servers.urls[0]}{CHAT}", connections=4, rate=200, duration="1s")
            assert done.answers <= 210
            yield done.answers >= 190

    with StubServers(1) as servers:
        assert any_of(tries())


def test_bodies_and_headers_can_differ() -> None:
    with StubServers(1) as servers:
        done = run_load(
            f"{servers.urls[0]}{CHAT}",
            body='{"model":"{n}-{r}"}',
            headers={"authorization": "Bearer {r}"},
            connections=2,
            requests=10,
        )
    assert (done.answers, done.failed) == (10, 0)


@pytest.mark.parametrize("body", ['{"messages":[]}', STREAM])
def test_a_client_that_leaves_is_noticed(body: str) -> None:
    with StubServers(1, slots=1, before="60s") as servers:
        with asking(servers, body):
            eventually(lambda: servers.counts(0)["busy"] == 1)
        eventually(lambda: servers.counts(0)["inFlight"] == 0)
        counts = servers.counts(0)
    assert (counts["left"], counts["busy"]) == (1, 0)


def test_an_answer_is_one_that_clients_of_llama_server_know() -> None:
    with StubServers(1, size=600) as servers:
        got = httpx.post(f"{servers.urls[0]}{CHAT}", json={"messages": []})
    answer = got.json()
    assert len(got.content) == pytest.approx(600, abs=30)
    assert answer["timings"]["predicted_n"] == answer["usage"]["completion_tokens"]
