"""A canary whose servers end again and again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from puna.api.analysis import MetricVerdict
from puna.core.naming import LABEL_PROCESS
from puna.core.plan import Manifest
from puna.endpoint.crashes import MOST_RESTARTS, SHORT, crash_verdict
from puna.endpoint.restore import known_revisions
from puna_node.backoff import restart_delay
from tests.factories import NOW, pod, running, terminated, waiting
from tests.fake_cluster import FakeCluster
from tests.unit.endpoint.test_analysis import GOOD, a_canary, count, result, unresolved, weights
from tests.unit.endpoint.test_canary_rollout import message, wanted

STABLE, CANARY = "aaaaaaaa", "bbbbbbbb"
SECOND = timedelta(seconds=1)


def fault(at: datetime = NOW, *, ran: timedelta = 3 * SECOND) -> Manifest:
    """How a server ended, and when."""
    found = terminated("ggml_abort", code=139)
    times = {"startedAt": (at - ran).isoformat(), "finishedAt": at.isoformat()}
    return {"state": {"terminated": found["state"]["terminated"] | times}}


def crashing(
    process: str,
    restarts: int,
    *,
    state: Manifest | None = None,
    at: datetime = NOW,
    **more: Any,
) -> Manifest:
    """A Pod whose server has been started again so many times and is away."""
    server = state or waiting("CrashLoopBackOff", last=fault(at))
    return pod(process, **{"ready": False, "server": server | {"restartCount": restarts}, **more})


def crash(cluster: FakeCluster, *processes: str, restarts: int = MOST_RESTARTS + 1) -> None:
    """Let every server of some processes end again and again, until the next look."""
    for name, found in cluster.pods.items():
        process = found["metadata"]["labels"][LABEL_PROCESS]
        if process in processes:
            status = crashing(process, restarts, at=cluster.now)["status"]
            cluster.pods[name] = found | {"status": status}


def processes(cluster: FakeCluster) -> tuple[str, str]:
    """Processes of stable revision and canary."""
    stable, canary = cluster.endpoint.status.stable_revision, wanted(cluster)
    found = {item.name: item.process for item in known_revisions(cluster.objects.values())}
    return found[stable or ""], found[canary]


@pytest.mark.parametrize("min_requests", [0, 50])
def test_a_canary_whose_server_ends_again_and_again_is_gone(min_requests: int) -> None:
    cluster = a_canary(minRequests=min_requests)
    stable, canary = cluster.endpoint.status.stable_revision, processes(cluster)[1]
    crash(cluster, canary, restarts=MOST_RESTARTS)
    cluster.reconcile()
    assert weights(cluster) == [90, 10]
    crash(cluster, canary)
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    assert cluster.condition("Progressing") == ("False", "CanaryFailed")
    assert f"revision {wanted(cluster)} failed (Crashes: " in message(cluster)
    assert "was started again 3 times; llama-server ended with exit code 139" in message(cluster)
    cluster.settle()
    assert cluster.weights() == {stable: 100}


def test_so_is_one_while_the_spec_cannot_be_carried_out() -> None:
    cluster = a_canary()
    canary = processes(cluster)[1]
    stable, name = unresolved(cluster)
    crash(cluster, canary)
    cluster.reconcile()
    assert cluster.weights() == {stable: 100}
    outcomes = {item.name: item.outcome for item in cluster.endpoint.status.revisions}
    assert outcomes[name] == "Failed"


def test_where_the_stable_servers_end_too_it_is_not_the_canary() -> None:
    cluster = a_canary()
    count(cluster, canary=GOOD, stable=GOOD)
    crash(cluster, *processes(cluster))
    cluster.reconcile()
    assert (weights(cluster), result(cluster)) == ([90, 10], "Pass")


def test_an_order_to_promote_overrides_it() -> None:
    cluster = a_canary()
    crash(cluster, processes(cluster)[1])
    cluster.annotate(promote=wanted(cluster))
    cluster.reconcile()
    assert cluster.condition("Progressing") != ("False", "CanaryFailed")


def verdict(*pods: Manifest, process: str = CANARY, stable: str = STABLE) -> MetricVerdict | None:
    return crash_verdict(pods, process, stable=stable, since=NOW - 60 * SECOND)


def test_servers_that_both_share_are_not_the_canary_s() -> None:
    assert verdict(crashing(STABLE, 9), process=STABLE) is None


def test_a_stable_server_that_has_come_back_speaks_for_the_canary() -> None:
    back = running() | {"restartCount": 1, "started": True, "lastState": fault()["state"]}
    assert verdict(crashing(CANARY, 9)) is not None
    assert verdict(crashing(CANARY, 9), pod(STABLE, server=back)) is None
    old = back | {"lastState": fault(NOW - 61 * SECOND)["state"]}
    assert verdict(crashing(CANARY, 9), pod(STABLE, server=old)) is not None


@pytest.mark.parametrize(
    "found",
    [
        pod(CANARY, server=running() | {"restartCount": 9, "started": True} | fault()),
        crashing(CANARY, 9, state=waiting("PortInUse", "port 8080 is taken", last=fault())),
        crashing(CANARY, 9, state=waiting("CrashLoopBackOff", last=terminated("couldn't bind"))),
        crashing(CANARY, MOST_RESTARTS),
        crashing(CANARY, 9, at=NOW - 61 * SECOND),
        crashing(CANARY, 9, state=fault(ran=SHORT)),
        crashing(CANARY, 9, phase="Failed"),
        crashing("cccccccc", 9),
    ],
    ids=["back", "port", "untimed", "few", "before", "long", "evicted", "another"],
)
def test_what_is_no_fault_of_the_canary(found: Manifest) -> None:
    assert verdict(found) is None


def test_other_containers_of_its_pods_are_not_the_server() -> None:
    found = crashing(CANARY, 9)
    mesh = {**found["status"]["containerStatuses"][0], "name": "istio-proxy"}
    server = {"name": "llama-server", **running(), "restartCount": 1}
    found["status"]["containerStatuses"] = [mesh, server]
    assert verdict(found) is None


def test_it_takes_half_a_minute() -> None:
    waits = [restart_delay(number).total_seconds() for number in range(MOST_RESTARTS + 1)]
    assert sum(waits) == 30


@pytest.mark.parametrize("process", [STABLE, CANARY])
@pytest.mark.parametrize("member", ["state", "lastState"])
def test_a_container_that_a_kubelet_lost_sight_of_has_no_times(process: str, member: str) -> None:
    lost = {"exitCode": 137, "reason": "ContainerStatusUnknown"}
    for times in ({}, {"startedAt": None, "finishedAt": None}):
        found = crashing(process, 5, state={member: {"terminated": lost | times}})
        assert crash_verdict([found], CANARY, stable=STABLE, since=NOW - SECOND) is None
