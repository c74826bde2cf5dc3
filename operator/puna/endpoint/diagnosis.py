"""Diagnosis: why Pods of an endpoint do not run, read from what nodes and scheduler say of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from puna.api.reasons import Reason
from puna.core.naming import BACKEND_KEY_NAME
from puna.core.plan import Manifest
from puna.core.readiness import is_ready
from puna.endpoint.model_volume import FETCH
from puna_fetch.config import FetchReason
from puna_node.config import REASON_NOT_ALLOWED, REASON_PORT_IN_USE

LAST_WORDS: Final = 400
"""Characters of a container's last output that a message shows."""
LOAD_FAILURES: Final = ("failed to load model", "error loading model", "failed to open GGUF")
BIND_FAILURES: Final = ("couldn't bind", "address already in use")
FETCH_REASONS: Final[dict[str, Reason]] = {
    FetchReason.CHECKSUM_MISMATCH: Reason.CHECKSUM_MISMATCH,
    FetchReason.FILE_NOT_FOUND: Reason.FILE_NOT_FOUND,
    FetchReason.DISK_FULL: Reason.DISK_FULL,
    FetchReason.CACHE_UNUSABLE: Reason.CACHE_UNUSABLE,
    FetchReason.ADDRESS_REFUSED: Reason.ADDRESS_REFUSED,
    FetchReason.UNAUTHORIZED: Reason.UNAUTHORIZED,
    FetchReason.DOWNLOAD_FAILED: Reason.DOWNLOAD_FAILED,
    FetchReason.INVALID_MODEL: Reason.INVALID_MODEL,
    FetchReason.INVALID_REQUEST: Reason.INVALID_SPEC,
}
MODEL_REASONS: Final = frozenset(FETCH_REASONS.values())
"""Reasons that speak of the model rather than of the Pod."""
MISSING_SECRET: Final = re.compile(r'^secret "([^"]+)" not found')
"""A node's words where the operator may not look for Secrets itself."""
NORMAL_WAITS: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a Pod does not serve."""

    reason: Reason
    message: str

    @property
    def of_model(self) -> bool:
        """Whether the model is at fault."""
        return self.reason in MODEL_REASONS


def diagnose(pods: Iterable[Manifest], deployments: Iterable[Manifest]) -> Diagnosis | None:
    """Return the first thing that keeps Pods from serving; None while they start normally.

    Pods, then Deployments, are looked at in the order of their names, model faults first: the
    answer is stable.
    """
    found = [
        diagnosis
        for pod in sorted(pods, key=_name)
        if "deletionTimestamp" not in pod["metadata"]
        and not is_ready(pod)
        and (diagnosis := _of_pod(pod)) is not None
    ]
    found.sort(key=lambda diagnosis: not diagnosis.of_model)
    if found:
        return found[0]
    return next(
        (
            diagnosis
            for item in sorted(deployments, key=_name)
            if (diagnosis := _of_deployment(item)) is not None
        ),
        None,
    )


def is_fetching(pod: Manifest | None) -> bool:
    """Return whether the Pod's init container `fetch` is running."""
    return pod is not None and any(
        status["name"] == FETCH and "running" in status.get("state", {})
        for status in pod.get("status", {}).get("initContainerStatuses", ())
    )


def is_loading(pod: Manifest) -> bool:
    """Return whether llama-server runs and is not ready yet."""
    statuses = pod.get("status", {}).get("containerStatuses", ())
    return not is_ready(pod) and any("running" in status.get("state", {}) for status in statuses)


def _name(item: Manifest) -> str:
    return str(item["metadata"]["name"])


def _of_pod(pod: Manifest) -> Diagnosis | None:
    status = pod.get("status", {})
    for container in status.get("initContainerStatuses", ()):
        if (diagnosis := _of_container(container)) is not None:
            return diagnosis
    for container in status.get("containerStatuses", ()):
        if (diagnosis := _of_container(container)) is not None:
            return diagnosis
    if status.get("phase") == "Failed":
        reason = (
            Reason.NOT_ALLOWED if status.get("reason") == REASON_NOT_ALLOWED else Reason.POD_FAILED
        )
        return Diagnosis(reason, f"{status.get('reason', 'Failed')}: {status.get('message', '')}")
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return _of_scheduler(condition.get("message", ""))
    return None


def _of_scheduler(message: str) -> Diagnosis:
    claim = "unbound immediate PersistentVolumeClaims" in message
    return Diagnosis(Reason.VOLUME_CLAIM_UNBOUND if claim else Reason.UNSCHEDULABLE, message)


def _of_container(status: Manifest) -> Diagnosis | None:
    """Return what is wrong with a container; its last end counts until it has started again."""
    state = status.get("state", {})
    if (waiting := state.get("waiting")) is not None and (diagnosis := _of_wait(waiting)):
        return diagnosis
    is_fetch = status["name"] == FETCH
    has_started = "running" in state and not is_fetch and status.get("started", False)
    ended = state.get("terminated")
    if ended is None and not has_started:
        ended = status.get("lastState", {}).get("terminated")
    if ended is None or (is_fetch and ended.get("exitCode") == 0):
        return None
    diagnosis = _of_end(status["name"], ended)
    if "running" in state and diagnosis.reason is Reason.DOWNLOAD_FAILED:
        return None
    return diagnosis


def _of_wait(waiting: Manifest) -> Diagnosis | None:
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason == REASON_PORT_IN_USE:
        return Diagnosis(Reason.PORT_IN_USE, message)
    if reason == REASON_NOT_ALLOWED:
        return Diagnosis(Reason.NOT_ALLOWED, message)
    if reason in NORMAL_WAITS or reason == "CrashLoopBackOff":
        return None
    missing = MISSING_SECRET.search(message)
    if missing is not None and missing[1] != BACKEND_KEY_NAME:
        text = f"there is no Secret {missing[1]}, which spec.model names; create it or name another"
        return Diagnosis(Reason.SECRET_NOT_FOUND, text)
    return Diagnosis(Reason.POD_FAILED, f"{reason}: {message}" if message else reason)


def _of_end(name: str, ended: Manifest) -> Diagnosis:
    message = ended.get("message", "").strip()
    if name == FETCH:
        reason, text = _fetch_failure(message)
        return Diagnosis(reason, text)
    tail = message[-LAST_WORDS:]
    if any(words in message for words in LOAD_FAILURES):
        return Diagnosis(Reason.INVALID_MODEL, f"llama-server cannot load the model: {tail}")
    if any(words in message for words in BIND_FAILURES):
        return Diagnosis(Reason.PORT_IN_USE, tail)
    code = ended.get("exitCode")
    why = ended.get("reason", "Error")
    if why == "OOMKilled":
        tail = "it needs more memory than resources.limits.memory of its pool"
    return Diagnosis(Reason.CRASH_LOOP, f"{name} ended with exit code {code} ({why}): {tail}")


def _fetch_failure(message: str) -> tuple[Reason, str]:
    """Read a termination message of puna-fetch; another text is shown as it is."""
    for line in reversed(message.splitlines()):
        try:
            failure = json.loads(line)
        except ValueError:
            continue
        if isinstance(failure, dict) and failure.get("reason") in FETCH_REASONS:
            return FETCH_REASONS[failure["reason"]], str(failure.get("message", ""))
    return Reason.DOWNLOAD_FAILED, f"puna-fetch ended: {message[-LAST_WORDS:]}"


def _of_deployment(deployment: Manifest) -> Diagnosis | None:
    for condition in deployment.get("status", {}).get("conditions", ()):
        message = condition.get("message", "")
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            quota = "exceeded quota" in message
            return Diagnosis(Reason.QUOTA_EXCEEDED if quota else Reason.POD_FAILED, message)
        if (
            condition["type"] == "Progressing"
            and condition.get("reason") == "ProgressDeadlineExceeded"
        ):
            return Diagnosis(Reason.PROGRESS_DEADLINE_EXCEEDED, message)
    return None
