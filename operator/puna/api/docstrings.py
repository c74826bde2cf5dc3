"""Docstrings under the members of a class body, which Python itself does not keep."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise


def member_docstrings(cls: type) -> Mapping[str, str]:
    """Return the docstring under each assigned name of a class, where there is one.

    Raises:
        OSError: the source of the class is not at hand.
    """
    module = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return docstrings_of(next(node for node in module.body if isinstance(node, ast.ClassDef)).body)


def docstrings_of(body: list[ast.stmt]) -> dict[str, str]:
    """Return the string that follows each assignment of a class or module body."""
    found: dict[str, str] = {}
    for statement, after in pairwise(body):
        name = _assigned_name(statement)
        if name is None or not isinstance(after, ast.Expr):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[name] = inspect.cleandoc(after.value.value)
    return found


def _assigned_name(statement: ast.stmt) -> str | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return None
