"""Findings: why a resource cannot be honoured, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from puna.api.reasons import Reason

InputT = TypeVar("InputT")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands in the way."""

    reason: Reason
    message: str
    """Names the field and the way out."""


Check: TypeAlias = Callable[[InputT], Finding | None]


def first_finding(checks: Iterable[Check[InputT]], value: InputT) -> Finding | None:
    """Return what the first check that objects has found."""
    return next((finding for check in checks if (finding := check(value)) is not None), None)
