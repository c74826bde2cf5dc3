"""Functions to complete, and whether their completion parses."""

from __future__ import annotations

from puna_trainer.language.python_code import completed, openings, parses

MODULE = '''"""A module."""
import os


@decorated
def first(
    path: str,
) -> int:
    # Why.
    return 1

class Holder:
    def method(self):
        pass

async def second(): return 2
async def third():
    """Third."""
    return r"\\d" "\\d"
'''


def test_functions_at_the_top_of_a_module_are_opened_up_to_their_bodies() -> None:
    found = list(openings(MODULE))
    assert [opening.header.splitlines()[0] for opening in found] == [
        "def first(",
        "async def third():",
    ]
    assert found[0].before.endswith("@decorated\n")
    assert found[0].header.endswith("# Why.")
    assert not any(opening.header.endswith("\n") for opening in found)


def test_a_text_that_is_no_python_has_none() -> None:
    assert list(openings("def broken(:\n    pass\n")) == []
    assert list(openings("Once upon a time, there was a house.")) == []


def test_a_body_ends_where_the_next_thing_begins() -> None:
    text = completed(
        "def f():", "\n    x = 1\n\n    return x\n\nclass Next:\n    pass", ended=False
    )
    assert text == "def f():\n    x = 1\n\n    return x\n\n"
    assert parses(text)


def test_a_line_that_was_cut_off_by_the_limit_does_not_count() -> None:
    assert (
        completed("def f():", "\n    return 1\n    if x ==", ended=False)
        == "def f():\n    return 1\n"
    )
    assert not parses(completed("def f():", "\n    return 1\n    if x ==", ended=True))


def test_a_function_without_a_body_does_not_parse() -> None:
    assert not parses(completed("def f():", "\n\n\nimport os\n", ended=False))
    assert not parses(completed("def f():", "", ended=True))


def test_what_no_parser_takes_is_told_and_not_raised() -> None:
    assert not parses("x = '\x00'")
    assert not parses("(" * 5000)
    assert parses("'\\d'")
