"""Outcome: how a Pod of a run ended, read from its exit code, its last word and its conditions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from puna.api.reasons import Reason
from puna.core.plan import Manifest
from puna.training.job import TRAINER
from puna.training.processes import COMPLETION_INDEX
from puna_node.config import REASON_NOT_ALLOWED
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import Result

KILLED: Final = 137
"""128 + SIGKILL."""
LAST_WORDS: Final = 400
"""Characters of a container's last output that a message shows."""
REASONS: Final[dict[FailureReason, Reason]] = {
    reason: Reason(reason.value) for reason in FailureReason
}
OF_EXIT: Final[dict[int, Reason]] = {
    Exit.BUG: Reason.BUG,
    Exit.USAGE: Reason.BUG,
    Exit.REFUSED: Reason.BAD_CONFIG,
    Exit.RANK_LOST: Reason.RANK_LOST,
    Exit.INTERRUPTED: Reason.INTERRUPTED,
    KILLED: Reason.KILLED,
}
"""Reasons of exit codes that nothing explains."""
UNCOUNTED: Final = frozenset({Reason.DISRUPTED, Reason.INTERRUPTED})
"""Ends that `backoffLimit` does not bound."""
SUFFERED: Final = frozenset({Reason.RANK_LOST, Reason.RANK_MISSING})
"""Ends whose cause is another rank's."""


@dataclass(frozen=True, slots=True)
class End:
    """How a Pod ended."""

    reason: Reason
    message: str
    exit_code: int | None = None
    finished_at: datetime | None = None
    result: Result | None = None
    """What the trainer itself said."""

    @property
    def is_done(self) -> bool:
        """Whether every stage is done."""
        return self.reason is Reason.DONE


def end_of(pod: Manifest) -> End | None:
    """Return how a Pod ended; None while it may still run."""
    status = pod.get("status", {})
    if status.get("phase") not in {"Failed", "Succeeded"}:
        return None
    ended = _terminated(pod)
    code = ended.get("exitCode")
    finished = ended.get("finishedAt")
    result = _result(ended.get("message", ""))
    reason, message = _why(pod, ended, result)
    return End(
        reason=reason,
        message=message,
        exit_code=code,
        finished_at=datetime.fromisoformat(finished) if finished else None,
        result=result,
    )


def rank_of(pod: Manifest) -> int:
    """Return which of a run's Pods this is; 0 tells the progress of all."""
    return int(pod["metadata"].get("labels", {}).get(COMPLETION_INDEX, "0"))


def created(pod: Manifest) -> datetime:
    """Return when a Pod was made."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def is_disrupted(pod: Manifest) -> bool:
    """Return whether Kubernetes takes a Pod away, or has."""
    return _disruption(pod) is not None


def is_running(pod: Manifest | None) -> bool:
    """Return whether the trainer runs in a Pod."""
    return pod is not None and any(
        status["name"] == TRAINER and "running" in status.get("state", {})
        for status in pod.get("status", {}).get("containerStatuses", ())
    )


def _disruption(pod: Manifest) -> Manifest | None:
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            found: Manifest = condition
            return found
    return None


def _terminated(pod: Manifest) -> Manifest:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == TRAINER:
            state: Manifest = status.get("state", {}).get("terminated") or {}
            return state
    return {}


def _result(message: str) -> Result | None:
    """Return the trainer's last word; anything else is somebody's log."""
    try:
        return Result.model_validate_json(message)
    except ValidationError:
        return None


def _why(pod: Manifest, ended: Manifest, result: Result | None) -> tuple[Reason, str]:
    code, status = ended.get("exitCode"), pod.get("status", {})
    if status.get("phase") == "Succeeded" or code == Exit.DONE:
        return Reason.DONE, result.message if result else ""
    disruption = _disruption(pod)
    if disruption is not None:
        told = disruption.get("message") or disruption.get("reason", "")
        return Reason.DISRUPTED, f"Kubernetes took the Pod away: {told}"
    if Exit.INTERRUPTED in {code, result.exit_code if result else None}:
        return Reason.INTERRUPTED, "SIGTERM came; everything is saved"
    if ended.get("reason") == "OOMKilled":
        return Reason.OUT_OF_MEMORY, (
            "the trainer needs more memory than spec.resources.limits.memory; raise it, or make "
            "hyperparameters.batchSize smaller or accumulationSteps larger"
        )
    if result is not None and result.reason is not None:
        return REASONS[result.reason], result.message
    if code is None:
        refused = status.get("reason") == REASON_NOT_ALLOWED
        told = f"{status.get('reason', 'Failed')}: {status.get('message', '')}"
        return (Reason.NOT_ALLOWED if refused else Reason.POD_FAILED), told
    words = ended.get("message", "").strip()[-LAST_WORDS:]
    said = f": {words}" if words else ""
    return OF_EXIT.get(code, Reason.POD_FAILED), f"the trainer ended with exit code {code}{said}"
