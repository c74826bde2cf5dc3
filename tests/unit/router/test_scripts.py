from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from puna_router.control.scripts import lua_string, select_script


def meant(literal: str) -> bytes:
    """What Lua reads in a literal of plain characters and decimal escapes."""
    assert (literal[0], literal[-1]) == ('"', '"')
    parts = re.findall(r'\\(\d{3})|([^\\"\n])', literal[1:-1])
    return bytes(int(number) if number else ord(plain) for number, plain in parts)


@given(st.text())
def test_a_literal_means_its_text_and_can_be_nothing_else(text: str) -> None:
    literal = lua_string(text)
    assert meant(literal) == text.encode()
    assert literal.isascii()


def test_a_name_cannot_leave_its_literal() -> None:
    assert lua_string('"] = 1} os.exit() --') == '"\\034] = 1} os.exit() --"'
    assert lua_string("]]\n\\") == '"]]\\010\\092"'


def test_the_selecting_filter_holds_what_it_looks_up() -> None:
    script = select_script({"card/chat": '{"id":"chat"}'})
    assert '["card/chat"]="{\\034id\\034:\\034chat\\034}"' in script
    assert script.index("local CATALOGUE") < script.index("local function admit")
