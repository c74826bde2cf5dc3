"""Which answers are right."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puna.api.golden import Expected
from puna.endpoint.matching import ExpressionError, described, is_expected

PLAIN = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("expected", "answer", "right"),
    [
        (Expected(contains="Paris"), "It is Paris.", True),
        (Expected(contains="Paris"), "It is paris.", False),
        (Expected(equals="42"), " 42\n", True),
        (Expected(equals="42"), "42.", False),
        (Expected(matches=r"(?i)\bparis\b"), "PARIS!", True),
        (Expected(matches=r"^\d+$"), "about 42", False),
        (Expected(matches=r"^$"), "", True),
    ],
)
def test_an_answer_is_right_if_it_is_as_expected(
    expected: Expected,
    answer: str,
    right: bool,  # noqa: FBT001 - a row of the table
) -> None:
    assert is_expected(answer, expected) is right


def test_what_is_expected_is_told_in_words() -> None:
    assert described(Expected(contains="Paris")) == "containing 'Paris'"
    assert described(Expected(equals="42")) == "equal to '42'"
    assert described(Expected(matches="^a")) == "matching '^a'"


def test_an_expression_that_cannot_be_read_is_quoted() -> None:
    with pytest.raises(ExpressionError, match=re.escape("(a: missing ): (a")):
        is_expected("a", Expected(matches="(a"))


def test_an_expression_that_would_take_python_years_takes_no_time() -> None:
    assert not is_expected("a" * 50_000, Expected(matches="(a+)+$b"))


@given(before=PLAIN, text=PLAIN.filter(bool), after=PLAIN)
def test_a_text_is_found_wherever_it_stands(before: str, text: str, after: str) -> None:
    answer = before + text + after
    assert is_expected(answer, Expected(contains=text))
    assert is_expected(answer, Expected(matches=re.escape(text)))
    assert is_expected(f" \n{answer}\t", Expected(equals=answer))


@given(answer=PLAIN, text=PLAIN.filter(bool))
def test_what_is_not_there_is_not_found(answer: str, text: str) -> None:
    assert is_expected(answer, Expected(contains=text)) is (text in answer)
    assert is_expected(answer, Expected(equals=text)) is (answer.strip() == text.strip())
