"""A canary that is judged by what Prometheus has of the routers, and by nothing without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from puna_router.config import CONTROL_PORT
from tests.e2e.notes import note
from tests.e2e.processes import start_operator, stop_operator
from tests.e2e.stage import Stage
from tests.e2e.test_canary import SERVER, canary, some, status, wait_weight
from tests.e2e.test_canary_analysis import LIMITS, STEPS
from tests.e2e.traffic import Load, failures, steady
from tests.ports import free_port
from tests.prometheus import scraping

pytestmark = pytest.mark.e2e


@pytest.fixture
def port(stage: Stage) -> Iterator[int]:
    """Port of the Prometheus that the operator is told of, where nobody listens yet."""
    found, environment = free_port(), stage.cluster.home.environment
    environment["PUNA_PROMETHEUS_URL"] = f"http://127.0.0.1:{found}"
    stop_operator(stage.cluster)
    start_operator(stage.cluster)
    yield found
    del environment["PUNA_PROMETHEUS_URL"]
    stop_operator(stage.cluster)
    start_operator(stage.cluster)


def test_a_canary_whose_first_bytes_are_slow_stays_until_prometheus_tells_of_them(
    stage: Stage, port: int, tmp_path: Path
) -> None:
    rollout = canary(*STEPS)
    rollout["canary"]["analysis"] = LIMITS | {"maxLatencyPercent": 10_000}
    stage.apply(
        stage.preset("calm", server=SERVER, temperature=0.25, maxTokens=4, forced=True),
        stage.preset("long", server=SERVER, temperature=0.25, maxTokens=120, forced=True),
        stage.endpoint(preset="calm", rollout=rollout),
    )
    stage.wait_ready()
    stable = status(stage)["stableRevision"]
    with steady(Load(stage.url, plain=4, pause=0.02)) as traffic:
        stage.patch(presetRef={"name": "long"})
        revision = wait_weight(stage, 50)
        for _ in range(4):
            some(traffic.outcomes)
        told = status(stage)["canary"]
        # For a minute it is no news that nothing is known; then it is said.
        metrics = told.get("verdict", {}).get("metrics", ())
        assert told["weight"] == 50
        assert {item["name"] for item in metrics} <= {"NoData"}
        routers = {
            pod["metadata"]["name"]: f"{pod['status']['podIP']}:{CONTROL_PORT}"
            for pod in stage.router_pods()
        }
        with scraping(tmp_path / "prometheus", routers, stage.namespace, port=port):
            told = stage.wait_condition("chat", "Progressing", "CanaryFailed")
        some(traffic.outcomes)
    note(told["message"])
    assert f"revision {revision} failed (TTFT: " in told["message"]
    assert "allows 130); " in told["message"]
    assert failures(traffic.outcomes) == []
    assert status(stage)["stableRevision"] == stable
