"""When the operator says that it is not well, and that it says so even when it hangs."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Counter

from puna.health import Limits, Vitals, verdict
from puna.listener import ListenError, listen

WELL = Vitals(at=100.0)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_working_operator_is_well() -> None:
    assert verdict(WELL, Limits(), 101.0) is None


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (replace(WELL, at=50.0), "event loop has stalled for 51 s"),
        (replace(WELL, waiting_seconds=61), "waited 61 s for a worker"),
        (replace(WELL, running_seconds=121, running="LLMEndpoint chat"), "LLMEndpoint chat has"),
        (replace(WELL, silent_seconds=500, silent="pods"), "watch of pods has been silent"),
        (replace(WELL, unreachable_seconds=200), "API server has not answered for 200 s"),
    ],
)
def test_each_stall_is_named(vitals: Vitals, words: str) -> None:
    assert words in (verdict(vitals, Limits(), 101.0) or "")


async def test_health_is_answered_while_the_event_loop_hangs() -> None:
    vitals = Vitals(at=time.monotonic())
    registry = CollectorRegistry()
    with listen("127.0.0.1:0", registry, lambda: vitals, Limits(loop=60)) as port:
        # The loop does nothing while this waits for its answers.
        assert get(port, "/healthz") == (200, "ok\n")
        vitals = Vitals(at=time.monotonic() - 61)
        status, text = get(port, "/healthz")
        assert (status, "event loop has stalled" in text) == (503, True)
        vitals = Vitals(at=time.monotonic())
        assert get(port, "/healthz")[0] == 200


def test_metrics_and_wrong_paths() -> None:
    registry = CollectorRegistry()
    Counter("puna_things_total", "Things.", registry=registry).inc(3)
    with listen("127.0.0.1:0", registry, lambda: WELL, Limits()) as port:
        assert "puna_things_total 3.0" in get(port, "/metrics")[1]
        assert get(port, "/")[0] == 404


@pytest.mark.parametrize("address", ["127.0.0.1:http", "nowhere.invalid:1", "127.0.0.1:99999"])
def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    with (
        pytest.raises(ListenError, match=address),
        listen(address, CollectorRegistry(), lambda: WELL, Limits()),
    ):
        pass


def test_a_taken_port_is_named() -> None:
    registry = CollectorRegistry()
    with (
        listen("127.0.0.1:0", registry, lambda: WELL, Limits()) as port,
        pytest.raises(ListenError, match=str(port)),
        listen(f"127.0.0.1:{port}", registry, lambda: WELL, Limits()),
    ):
        pass
