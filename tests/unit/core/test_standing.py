"""Whose object the answer to a first apply shows."""

from __future__ import annotations

import pytest

from puna.core.plan import Manifest
from puna.core.standing import taken_over

OURS = {"manager": "puna", "operation": "Apply", "time": "2026-01-01T00:00:05Z"}


def live(*entries: Manifest) -> Manifest:
    return {"metadata": {"name": "chat", "managedFields": list(entries)}}


def other(time: str, **more: str) -> Manifest:
    return {"manager": "kubectl", "operation": "Update", "time": time, **more}


@pytest.mark.parametrize("time", ["2026-01-01T00:00:01Z", "2026-01-01T00:00:05Z"])
def test_who_was_there_before_us_made_it(time: str) -> None:
    assert taken_over(live(other(time), OURS)) == "kubectl"


def test_what_we_made_is_ours() -> None:
    assert taken_over(live(OURS)) is None


def test_who_changed_ours_later_does_not_hold_it() -> None:
    assert taken_over(live(OURS, other("2026-01-01T00:00:06Z"))) is None


def test_a_status_makes_nobody_a_holder() -> None:
    assert taken_over(live(other("2026-01-01T00:00:01Z", subresource="status"), OURS)) is None
