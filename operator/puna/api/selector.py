"""Label selector: objects of the same namespace, told by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from puna.api.resource import LABEL_VALUE, Model, Rule

LABEL_KEY: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"

LabelKey = Annotated[str, Field(pattern=LABEL_KEY, min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE, max_length=63)]


class LabelOperator(StrEnum):
    """What has to be true of a label."""

    IN = "In"
    """It is there and has one of the values."""
    NOT_IN = "NotIn"
    """It is absent, or has none of the values."""
    EXISTS = "Exists"
    """It is there."""
    DOES_NOT_EXIST = "DoesNotExist"
    """It is absent."""


class LabelRequirement(Model):
    """What has to be true of one label."""

    key: LabelKey
    """Name of the label."""
    operator: LabelOperator
    """What has to be true of it."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=16)] = ()
    """Values of In and NotIn."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "In and NotIn need values, Exists and DoesNotExist have none",
            ".values",
        ),
    )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether it is true of labels."""
        value = labels.get(self.key)
        match self.operator:
            case LabelOperator.IN:
                return value in self.values
            case LabelOperator.NOT_IN:
                return value not in self.values
            case LabelOperator.EXISTS:
                return value is not None
            case LabelOperator.DOES_NOT_EXIST:
                return value is None


class LabelSelector(Model):
    """Objects that have all the labels, and of which all that is required is true."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Labels and their values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16)] = ()
    """What else has to be true of labels."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(has(self.matchLabels) && size(self.matchLabels) > 0) "
            "|| (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
            "an empty selector would take every TrainingJob; set matchLabels or matchExpressions",
            ".matchLabels",
            "FieldValueRequired",
        ),
    )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with labels is meant."""
        return self.match_labels.items() <= labels.items() and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )

    def __str__(self) -> str:
        """Return it as `kubectl get --selector` takes it."""
        parts = [f"{key}={value}" for key, value in sorted(self.match_labels.items())]
        for item in self.match_expressions:
            values = ",".join(item.values)
            match item.operator:
                case LabelOperator.IN:
                    parts.append(f"{item.key} in ({values})")
                case LabelOperator.NOT_IN:
                    parts.append(f"{item.key} notin ({values})")
                case LabelOperator.EXISTS:
                    parts.append(item.key)
                case LabelOperator.DOES_NOT_EXIST:
                    parts.append(f"!{item.key}")
        return ",".join(parts)
