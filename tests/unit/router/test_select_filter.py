"""In which order the selecting filter and the routes learn of a change."""

from __future__ import annotations

import pytest

from puna_router.control.select_filter import closes

OPEN = {"card/chat": "{}"}
KEYED = {**OPEN, "keyed/chat": "true"}


@pytest.mark.parametrize(
    ("before", "after", "first"),
    [
        (OPEN, KEYED, True),
        (KEYED, OPEN, False),
        (KEYED, KEYED | {"key/chat/0": "alice 0 1 60"}, False),
        ({}, KEYED, False),
        (OPEN, OPEN | {"card/code": "{}", "keyed/code": "true"}, False),
        (OPEN | {"card/code": "{}"}, KEYED | {"card/code": "{}"}, True),
    ],
    ids=["closed", "opened", "another key", "new", "another new", "one of two closed"],
)
def test_the_filter_goes_first_where_something_open_needs_a_key(
    before: dict[str, str], after: dict[str, str], *, first: bool
) -> None:
    assert closes(before, after) is first
