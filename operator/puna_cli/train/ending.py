"""How a run ended. Pure."""

from __future__ import annotations

from puna.api.conditions import find
from puna.api.reasons import ConditionType
from puna.api.training_status import TrainingJobStatus


def ending(status: TrainingJobStatus) -> str | None:
    """How a run ended for good, in a sentence; None while it goes on."""
    for kind in (ConditionType.COMPLETE, ConditionType.FAILED):
        condition = find(status.conditions, kind)
        if condition is not None and condition.status == "True":
            told = f": {condition.message}" if condition.message else ""
            return f"{kind} ({condition.reason}){told}" if kind == "Failed" else str(kind)
    return None
