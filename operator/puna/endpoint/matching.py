"""Matching: whether an answer is what a golden prompt expects."""

from __future__ import annotations

import re2

from puna.api.golden import Expected


class ExpressionError(ValueError):
    """A regular expression that cannot be read."""


def is_expected(answer: str, expected: Expected) -> bool:
    """Return whether an answer is right; RE2 takes time in proportion to the answer, never more.

    Raises:
        ExpressionError: `matches` is no expression of RE2.
    """
    if expected.equals is not None:
        return answer.strip() == expected.equals.strip()
    if expected.contains is not None:
        return expected.contains in answer
    try:
        return re2.search(expected.matches or "", answer, _OPTIONS) is not None
    except re2.error as error:
        raise ExpressionError(f"{expected.matches}: {_words(error)}") from None


def described(expected: Expected) -> str:
    """Return what is expected, in words."""
    for word, text in (
        ("equal to", expected.equals),
        ("containing", expected.contains),
        ("matching", expected.matches),
    ):
        if text is not None:
            return f"{word} {text!r}"
    return "anything"


def _words(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def _quiet() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options


_OPTIONS = _quiet()
