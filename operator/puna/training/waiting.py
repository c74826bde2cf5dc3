"""Waiting: why Pods of a run have not started, read from what nodes and scheduler say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.training.outcome import end_of, rank_of
from puna_node.config import REASON_NOT_ALLOWED

NORMAL: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


def obstacle(pods: Iterable[Manifest]) -> Finding | None:
    """Return the first thing that keeps Pods from starting; None while they start normally."""
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        leaves = "deletionTimestamp" in pod["metadata"] or end_of(pod) is not None
        found = None if leaves else _of_pod(pod)
        if found is not None:
            rank = rank_of(pod)
            told = f"the Pod of rank {rank}: {found.message}" if rank else found.message
            return Finding(found.reason, told)
    return None


def _of_pod(pod: Manifest) -> Finding | None:
    status = pod.get("status", {})
    for container in status.get("containerStatuses", ()):
        wait = container.get("state", {}).get("waiting") or {}
        reason, message = wait.get("reason", ""), wait.get("message", "")
        if reason == REASON_NOT_ALLOWED:
            return Finding(Reason.NOT_ALLOWED, message)
        if reason not in NORMAL:
            return Finding(Reason.POD_FAILED, f"{reason}: {message}" if message else reason)
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            message = condition.get("message", "")
            claim = "unbound immediate PersistentVolumeClaims" in message
            return Finding(Reason.VOLUME_CLAIM_UNBOUND if claim else Reason.UNSCHEDULABLE, message)
    return None
