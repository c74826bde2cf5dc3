from __future__ import annotations

from dataclasses import replace
from typing import Any

from puna_node.facts import PodFacts, held
from puna_node.manifest import Manifest
from puna_node.probe import READINESS, Probing
from puna_node.status import merge_conditions, pod_status, status_patch
from tests.unit.node.pods import NOW, after, container, ended, facts, pod, running


def status(manifest: Manifest, known: PodFacts, seconds: float = 0) -> Manifest:
    return pod_status(manifest, known, node_address="10.0.0.1", now=after(seconds))


def conditions(found: Manifest) -> dict[str, str]:
    return {c["type"]: c["status"] for c in found["conditions"]}


def state(found: Manifest, index: int = 0) -> dict[str, Any]:
    shown = found["containerStatuses"][index]["state"]
    return {kind: value for kind, value in shown.items() if value is not None}


def test_a_pod_that_is_being_prepared_is_pending() -> None:
    found = status(pod(), replace(facts(), prepared=False))
    assert found["phase"] == "Pending"
    assert state(found) == {"waiting": {"reason": "ContainerCreating", "message": None}}
    assert conditions(found) == {
        "PodScheduled": "True",
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "ContainersReady": "False",
        "Ready": "False",
    }


def test_what_cannot_be_prepared_shows_in_every_container() -> None:
    hold = held(None, "CreateContainerConfigError", 'secret "s" not found', NOW)
    found = status(pod(), replace(facts(), prepared=False, hold=hold))
    assert state(found) == {
        "waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
    }


def test_a_container_is_ready_when_its_probe_passes() -> None:
    manifest = pod(container(readinessProbe={"httpGet": {"port": 1}}))
    up = status(manifest, facts(main=running()))
    assert (up["phase"], conditions(up)["Ready"]) == ("Running", "False")
    passing = running(probes={READINESS: Probing(NOW, NOW, NOW, passed=True)})
    assert conditions(status(manifest, facts(main=passing)))["Ready"] == "True"


def test_a_container_that_waits_for_its_restart_shows_the_back_off() -> None:
    found = status(pod(), facts(main=ended(3, attempts=3, in_a_row=2)), seconds=1)
    waiting = state(found)["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"] == (
        "back-off 20s restarting failed container=main pod=pod_default(u-1)"
    )
    entry = found["containerStatuses"][0]
    assert entry["lastState"]["terminated"]["exitCode"] == 3
    assert entry["restartCount"] == 2
    assert found["phase"] == "Running"


def test_an_ended_pod_shows_how_it_ended() -> None:
    over = replace(facts(main=ended(0)), outcome="Succeeded")
    found = status(pod(), over)
    assert found["phase"] == "Succeeded"
    assert state(found)["terminated"]["reason"] == "Completed"
    ready = next(c for c in found["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_a_refused_pod_says_why() -> None:
    found = status(pod(), replace(facts(), refused="spec.hostPID: not allowed on this node"))
    assert (found["phase"], found["reason"]) == ("Pending", "NotAllowed")
    assert state(found)["waiting"]["message"] == "spec.hostPID: not allowed on this node"


def test_init_containers_come_first() -> None:
    manifest = pod(initContainers=[container(name="fetch")])
    found = status(manifest, facts(fetch=running()))
    assert found["phase"] == "Pending"
    assert conditions(found)["Initialized"] == "False"
    assert state(found)["waiting"]["reason"] == "PodInitializing"
    done = status(manifest, facts(fetch=ended(0), main=running()))
    assert done["initContainerStatuses"][0]["ready"] is True
    assert conditions(done)["Initialized"] == "True"


def test_a_readiness_gate_holds_the_pod_back() -> None:
    manifest = pod(readinessGates=[{"conditionType": "x/ready"}])
    assert conditions(status(manifest, facts(main=running())))["Ready"] == "False"
    manifest["status"] = {"conditions": [{"type": "x/ready", "status": "True"}]}
    assert conditions(status(manifest, facts(main=running())))["Ready"] == "True"


def test_the_time_of_a_transition_is_kept_while_the_status_is() -> None:
    before = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    same = merge_conditions(before, [{"type": "Ready", "status": "True"}], NOW)
    assert same[0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    other = merge_conditions(before, [{"type": "Ready", "status": "False"}], NOW)
    assert other[0]["lastTransitionTime"] == "2026-11-21T12:00:00Z"


def test_a_patch_names_the_pod_and_replaces_addresses() -> None:
    patch = status_patch(pod(), status(pod(), facts()))
    assert patch["metadata"] == {"uid": "u-1"}
    assert patch["status"]["podIPs"] == [{"$patch": "replace"}, {"ip": "127.77.0.1"}]
