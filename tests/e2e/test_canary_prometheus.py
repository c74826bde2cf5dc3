"""A canary that is judged by what Prometheus has of the routers, and by nothing without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import eventually
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


def no_data(stage: Stage) -> str | None:
    """Why nothing is known of the requests."""
    metrics = status(stage).get("canary", {}).get("verdict", {}).get("metrics", ())
    return next((item["message"] for item in metrics if item["name"] == "NoData"), None)


def test_a_slow_canary_stays_until_prometheus_tells_and_is_gone_then(
    stage: Stage, port: int, tmp_path: Path
) -> None:
    rollout = canary(*STEPS)
    rollout["canary"]["analysis"] = LIMITS
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
        eventually(lambda: no_data(stage), seconds=90)
        problem = no_data(stage)
        some(traffic.outcomes)
        assert f"Prometheus at http://127.0.0.1:{port} does not answer: " in str(problem)
        assert status(stage)["canary"]["weight"] == 50
        routers = {
            pod["metadata"]["name"]: f"{pod['status']['podIP']}:9090" for pod in stage.router_pods()
        }
        with scraping(tmp_path / "prometheus", routers, stage.namespace, port=port):
            told = stage.wait_condition("chat", "Progressing", "CanaryFailed")
        some(traffic.outcomes)
    note(told["message"])
    assert f"revision {revision} failed (" in told["message"]
    assert "allows 130); " in told["message"]
    assert failures(traffic.outcomes) == []
    assert status(stage)["stableRevision"] == stable
