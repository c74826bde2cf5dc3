from __future__ import annotations

from puna.api.reasons import Reason
from puna.core.findings import Finding, first_finding


def too_small(value: int) -> Finding | None:
    return Finding(Reason.INVALID_SPEC, "too small") if value < 10 else None


def odd(value: int) -> Finding | None:
    return Finding(Reason.INVALID_SPEC, "odd") if value % 2 else None


def test_the_first_check_that_objects_is_heard() -> None:
    found = [first_finding((too_small, odd), value) for value in (3, 11, 12)]
    assert [finding and finding.message for finding in found] == ["too small", "odd", None]
