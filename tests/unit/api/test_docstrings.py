from __future__ import annotations

from enum import StrEnum

from puna.api.docstrings import member_docstrings


class Sample(StrEnum):
    """Sample."""

    FIRST = "first"
    """First member,
    on two lines."""
    SECOND = "second"
    THIRD = "third"
    """Third member."""


def test_the_string_under_a_member_is_its_docstring() -> None:
    assert member_docstrings(Sample) == {
        "FIRST": "First member,\non two lines.",
        "THIRD": "Third member.",
    }
