"""The status of an LLMEndpoint whose spec the API server let pass and that cannot be read."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from puna.api.conditions import Condition, merge
from puna.api.llmendpoint_status import LLMEndpointStatus
from puna.api.reasons import ConditionType, Reason
from puna.core.plan import Manifest


def unreadable_status(manifest: Manifest, message: str, now: datetime) -> LLMEndpointStatus:
    """Return the stored status with Accepted and Ready turned False; children keep running."""
    try:
        before = LLMEndpointStatus.model_validate(manifest.get("status", {}))
    except ValidationError:
        before = LLMEndpointStatus()
    generation = manifest["metadata"].get("generation", 0)
    judged = {
        kind: Condition(
            type=kind,
            status="False",
            reason=Reason.INVALID_SPEC,
            message=message,
            last_transition_time=now,
            observed_generation=generation,
        )
        for kind in (ConditionType.ACCEPTED, ConditionType.READY)
    }
    kept = [condition for condition in before.conditions if condition.type not in judged]
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": merge(before.conditions, [*judged.values(), *kept]),
        }
    )
