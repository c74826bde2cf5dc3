"""Conditions: the truth of a status, and how a new one follows an old one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from puna.api.reasons import ConditionType, Reason
from puna.api.resource import Model


class Condition(Model):
    """One aspect of a resource's state, as in metav1.Condition."""

    type: ConditionType
    """Which aspect."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Reason
    """Why, in one word that programs may rely on."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence for people."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int = 0
    """Generation of the spec that this speaks of."""


def merge(previous: Sequence[Condition], current: Iterable[Condition]) -> tuple[Condition, ...]:
    """Return `current`, each with its predecessor's transition time unless `status` flipped."""
    before = {condition.type: condition for condition in previous}
    return tuple(
        condition.model_copy(update={"last_transition_time": old.last_transition_time})
        if (old := before.get(condition.type)) is not None and old.status == condition.status
        else condition
        for condition in current
    )


def find(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of a type, if there is one."""
    return next((condition for condition in conditions if condition.type == kind), None)
