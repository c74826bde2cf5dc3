"""Lua of the filters: modules in one chunk, since Envoy's Lua has no search path for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

_SELECT: Final = ("sha256", "access", "prefix", "splice", "select")
_SPLICE: Final = ("json", "surface", "copy", "splice", "splice_revision")
_GUARD: Final = ("guard", "guard_response")
_SPECIAL: Final = re.compile(rb"[^ !#-\[\]-~]")
"""Bytes that stand in a literal as numbers: all but printable ASCII, and what ends or escapes."""


def select_script(catalogue: Mapping[str, str]) -> str:
    """The selecting filter with what it looks things up in.

    The table is a part of the script because Envoy hands metadata and filter contexts to Lua as
    copies: each request would pay for every endpoint and every key.
    """
    entries = (f"[{lua_string(key)}]={lua_string(value)}" for key, value in catalogue.items())
    table = "local CATALOGUE = {\n" + ",\n".join(entries) + "\n}\n"
    return "\n".join((*map(_module, ("json", "surface")), table, *map(_module, _SELECT)))


@cache
def splice_script() -> str:
    """The splicing filter."""
    return "\n".join(map(_module, _SPLICE))


@cache
def guard_script(event_limit: int, *, splices: bool) -> str:
    """The guard of streams from servers outside the cluster, with the splicing filter or alone.

    `event_limit` is the size in bytes above which the counting filters forget an event.
    """
    limit = f"local EVENT_LIMIT = {event_limit}"
    return "\n".join((limit, *map(_module, (*_SPLICE, *_GUARD) if splices else _GUARD)))


def lua_string(text: str) -> str:
    """A string literal of Lua that means the UTF-8 of a text, whatever it holds."""
    literal = _SPECIAL.sub(lambda found: b"\\%03d" % ord(found[0]), text.encode())
    return f'"{literal.decode("ascii")}"'


@cache
def _module(name: str) -> str:
    return (resources.files("puna_router") / "lua" / f"{name}.lua").read_text("utf-8")
