"""Status of a Pod from its facts, as the kubelet would report it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from puna_node.backoff import restart_delay
from puna_node.config import REASON_NOT_ALLOWED
from puna_node.facts import ContainerFacts, Exit, PodFacts
from puna_node.manifest import (
    Manifest,
    PodKey,
    format_time,
    init_containers,
    main_containers,
    pod_key,
)
from puna_node.pod import initialized, is_ready, is_started, may_restart, restart_at

CONTAINER_ID: Final = "puna-node://"


def pod_status(pod: Manifest, facts: PodFacts, *, node_address: str, now: datetime) -> Manifest:
    """Complete status that this node reports; conditions still without transition times."""
    init = [_container_status(pod, c, facts, now, init=True) for c in init_containers(pod)]
    main = [_container_status(pod, c, facts, now, init=False) for c in main_containers(pod)]
    status: Manifest = {
        "phase": _phase(pod, facts),
        "observedGeneration": pod["metadata"].get("generation"),
        "hostIP": node_address,
        "hostIPs": [{"ip": node_address}],
        "podIP": facts.address,
        "podIPs": [{"ip": facts.address}],
        "startTime": format_time(facts.started_at),
        "initContainerStatuses": init,
        "containerStatuses": main,
        "conditions": _conditions(pod, facts, main),
    }
    if facts.doom is not None:
        status |= {"reason": facts.doom.reason, "message": facts.doom.message}
    elif facts.refused is not None:
        status |= {"reason": REASON_NOT_ALLOWED, "message": facts.refused}
    return status


def merge_conditions(
    previous: list[Manifest], conditions: list[Manifest], now: datetime
) -> list[Manifest]:
    """Conditions with the time of their last transition; kept where the status is the same."""
    before = {condition["type"]: condition for condition in previous}
    merged = []
    for condition in conditions:
        old = before.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        since = old.get("lastTransitionTime") if old is not None and same else None
        merged.append({**condition, "lastTransitionTime": since or format_time(now)})
    return merged


def status_patch(pod: Manifest, status: Manifest) -> Manifest:
    """Strategic merge patch of the status that a Pod re-created under the name refuses."""
    return {
        "metadata": {"uid": pod["metadata"]["uid"]},
        # Lists of addresses merge by key: without the directive a changed address would be added.
        "status": {
            **status,
            "podIPs": [{"$patch": "replace"}, *status["podIPs"]],
            "hostIPs": [{"$patch": "replace"}, *status["hostIPs"]],
        },
    }


def _phase(pod: Manifest, facts: PodFacts) -> str:
    if facts.outcome is not None:
        return facts.outcome
    if not initialized(pod, facts):
        return "Pending"
    containers = [facts.container(c["name"]) for c in main_containers(pod)]
    if any(c.running is None and c.exit is None for c in containers):
        return "Pending"
    return "Running"


def _conditions(pod: Manifest, facts: PodFacts, main: list[Manifest]) -> list[Manifest]:
    done = facts.outcome == "Succeeded"
    unready = [status["name"] for status in main if not status["ready"]]
    ready_reason = (
        ("PodCompleted", None)
        if done
        else ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    )
    ready = not unready and facts.outcome is None
    waiting_for = [
        container["name"]
        for container in init_containers(pod)
        if (how := facts.container(container["name"]).exit) is None or how.code != 0
    ]
    gates = _gates(pod)
    return [
        _condition("PodScheduled", holds=True),
        _condition("PodReadyToStartContainers", holds=facts.prepared and facts.outcome is None),
        _condition(
            "Initialized",
            holds=initialized(pod, facts),
            reason="ContainersNotInitialized",
            message=f"containers with incomplete status: [{' '.join(waiting_for)}]",
        ),
        _condition("ContainersReady", holds=ready, reason=ready_reason[0], message=ready_reason[1]),
        _condition("Ready", holds=ready, reason=ready_reason[0], message=ready_reason[1])
        if not (ready and gates)
        else _condition(
            "Ready",
            holds=False,
            reason="ReadinessGatesNotReady",
            message=f"conditions that are not True: {gates}",
        ),
    ]


def _gates(pod: Manifest) -> list[str]:
    """Readiness gates that nobody has set to True yet."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    true = {c["type"] for c in conditions if c["status"] == "True"}
    gates = (gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ())
    return [gate for gate in gates if gate not in true]


def _condition(
    kind: str, *, holds: bool, reason: str | None = None, message: str | None = None
) -> Manifest:
    # A merge patch keeps what it does not name: a condition that holds clears its old reason.
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": None if holds else reason,
        "message": None if holds else message,
    }


def _container_status(
    pod: Manifest, container: Manifest, facts: PodFacts, now: datetime, *, init: bool
) -> Manifest:
    state = facts.container(container["name"])
    key = pod_key(pod)
    ended = state.exit is not None and state.running is None
    last = state.exit
    current = _current_state(pod, container, state, facts, now, init=init)
    shows_exit = "terminated" in current
    done_well = init and ended and last is not None and last.code == 0
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": container.get("image", ""),
        "containerID": _container_id(key, container["name"], state.attempts),
        "ready": done_well if init else is_ready(container, state),
        "started": state.running is not None if init else is_started(container, state),
        "restartCount": max(0, state.attempts - 1),
        "state": _only(current),
        "lastState": _only(
            {}
            if last is None or shows_exit
            else {"terminated": _terminated(key, container["name"], last)}
        ),
    }


def _only(state: Manifest) -> Manifest:
    """State with its other two members cleared, since a merge patch would keep them."""
    return {"waiting": None, "running": None, "terminated": None} | state


def _current_state(
    pod: Manifest,
    container: Manifest,
    state: ContainerFacts,
    facts: PodFacts,
    now: datetime,
    *,
    init: bool,
) -> Manifest:
    key, name = pod_key(pod), container["name"]
    if state.running is not None:
        return {"running": {"startedAt": format_time(state.running.started_at)}}
    if facts.refused is not None:
        return _waiting(REASON_NOT_ALLOWED, facts.refused)
    over = facts.outcome is not None or facts.deletion is not None or facts.doom is not None
    if state.hold is not None and not over:
        return _waiting(state.hold.reason, state.hold.message)
    if state.exit is not None:
        ends = over or not may_restart(pod, state.exit, init=init)
        delay = restart_delay(state.in_a_row)
        due = restart_at(state)
        if ends or not delay or due is None or state.begun or now >= due:
            # A container about to be restarted at once is shown by how it ended.
            return {"terminated": _terminated(key, name, state.exit)}
        return _waiting(
            "CrashLoopBackOff",
            f"back-off {delay.total_seconds():.0f}s restarting failed container={name} "
            f"pod={key.name}_{key.namespace}({key.uid})",
        )
    if facts.hold is not None:
        return _waiting(facts.hold.reason, facts.hold.message)
    if not init and init_containers(pod):
        return _waiting("PodInitializing", None)
    return _waiting("ContainerCreating", None)


def _waiting(reason: str, message: str | None) -> Manifest:
    return {"waiting": {"reason": reason, "message": message}}


def _terminated(key: PodKey, name: str, how: Exit) -> Manifest:
    return {
        "exitCode": how.code,
        "signal": how.signal or None,
        "reason": how.reason,
        "message": how.message or None,
        "startedAt": format_time(how.started_at),
        "finishedAt": format_time(how.finished_at),
        "containerID": _container_id(key, name, how.attempt),
    }


def _container_id(key: PodKey, name: str, attempt: int) -> str | None:
    return f"{CONTAINER_ID}{key.uid}/{name}/{attempt}" if attempt else None
