"""Python as a subject: functions to complete, and whether a completion parses. Runs nothing."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Opening:
    """A function up to its body."""

    before: str
    """Text of the module before it."""
    header: str
    """Its lines from `def` to the colon; the end of a line belongs to the token that indents the
    next one."""


def openings(source: str) -> Iterator[Opening]:
    """Yield the functions at the top of a module; none if the text is no Python."""
    tree = parsed(source)
    lines = source.splitlines(keepends=True)
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[0].lineno
            if body > node.lineno:
                header = "".join(lines[node.lineno - 1 : body - 1])
                yield Opening("".join(lines[: node.lineno - 1]), header.rstrip())


def completed(header: str, continuation: str, *, ended: bool) -> str:
    """Return a function with the body that a continuation gives it.

    The body ends before the first line that is not indented. A last line that was not written to
    its end is left out, unless the writer `ended` there.
    """
    lines = continuation.splitlines(keepends=True)
    if lines and not ended and not lines[-1].endswith("\n"):
        lines.pop()
    body: list[str] = []
    for line in lines:
        if line.strip() and not line.startswith((" ", "\t")):
            break
        body.append(line)
    return header + "".join(body)


def parses(source: str) -> bool:
    """Return whether a text is Python."""
    return parsed(source) is not None


def parsed(source: str) -> ast.Module | None:
    """Return the syntax tree of a text; None if it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in what is parsed
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
