"""The status of an TrainingJob whose spec the API server let pass and that cannot be read."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from puna.api.conditions import Condition, merge
from puna.api.reasons import ConditionType, Reason
from puna.api.training_status import TrainingJobStatus
from puna.core.plan import Manifest


def unreadable_status(manifest: Manifest, message: str, now: datetime) -> TrainingJobStatus:
    """Return the stored status with Accepted turned False; what runs goes on."""
    try:
        before = TrainingJobStatus.model_validate(manifest.get("status", {}))
    except ValidationError:
        before = TrainingJobStatus()
    generation = manifest["metadata"].get("generation", 0)
    accepted = Condition(
        type=ConditionType.ACCEPTED,
        status="False",
        reason=Reason.INVALID_SPEC,
        message=message,
        last_transition_time=now,
        observed_generation=generation,
    )
    kept = [item for item in before.conditions if item.type != ConditionType.ACCEPTED]
    return before.model_copy(
        update={
            "observed_generation": generation,
            "conditions": merge(before.conditions, [accepted, *kept]),
        }
    )
