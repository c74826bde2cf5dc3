"""Beginnings of prompts: what one request has in common with another, by the real LuaJIT."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.router.lua_program import LuaProgram, source

SCRIPT = (
    source("json", "surface", "prefix")
    + """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body and body:getBytes(0, body:length()) or ""
  local found = scan_document(text, {
    messages = true, prompt = true, input = true, input_prefix = true,
    tools = true, system = true, instructions = true, input_extra = true,
  })
  local main = string.sub(handle:headers():get(":path"), 2)
  local prefixes, affinity
  if found then
    prefixes, affinity = describe_prefixes(text, found, main)
  end
  local told = { ["x-prefix"] = prefixes or "", ["x-affinity"] = affinity or "" }
  told[":status"] = "200"
  handle:respond(told, "")
end
"""
)


class Described(NamedTuple):
    """What a body is told as."""

    prefix: str
    affinity: str

    @property
    def ends(self) -> list[str]:
        return self.prefix.split(",") if self.prefix else []

    @property
    def sizes(self) -> list[int]:
        return [int(end.split(":")[1]) for end in self.ends]


class Hasher:
    """Describes bodies as the router does."""

    def __init__(self, program: LuaProgram) -> None:
        self._program = program

    def __call__(self, body: Any, main: str = "messages") -> Described:
        text = body if isinstance(body, str) else json.dumps(body)
        answer = self._program.client.post(f"/{main}", content=text.encode())
        assert answer.status_code == 200
        return Described(answer.headers["x-prefix"], answer.headers["x-affinity"])


@pytest.fixture(scope="module")
def describe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hasher]:
    program = LuaProgram(tmp_path_factory.mktemp("prefix"), SCRIPT)
    yield Hasher(program)
    program.close()


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def turns(count: int, length: int = 40) -> list[dict[str, Any]]:
    """A conversation of as many questions, with the answers between them."""
    made = random.Random(count)
    text = ["".join(made.choices('ab "\\\nü', k=length)) for _ in range(2 * count)]
    roles = ["user", "assistant"] * count
    found = [message("system", "Be kind.")]
    found += [message(role, words) for role, words in zip(roles, text, strict=True)]
    return found[: 2 * count]


def shuffled(value: Any, seed: int) -> Any:
    """The value with the members of every message in another order, and other white space."""
    made = random.Random(seed)
    if isinstance(value, dict):
        members = list(value.items())
        made.shuffle(members)
        return {key: shuffled(inner, seed + 1) for key, inner in members}
    return [shuffled(item, seed + 2) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("length", [5, 300, 3000])
def test_a_later_turn_extends_the_chain_byte_for_byte(describe: Hasher, length: int) -> None:
    questions = 6 if length < 1000 else 2
    conversation = turns(questions, length)
    before = Described("", "")
    for count in range(2, len(conversation) + 1, 2):
        body = {"model": "chat", "messages": conversation[:count], "temperature": count}
        # Whatever the order of members, and wherever the messages stand.
        for seed in range(3):
            members = list(body.items())
            random.Random(seed).shuffle(members)
            found = describe(shuffled(dict(members), seed))
            assert found.prefix.startswith(before.prefix)
            assert len(found.ends) > len(before.ends)
            assert before.affinity in {"", found.affinity}
        before = found
    assert before.sizes == sorted(before.sizes)


def test_a_chain_ends_where_messages_end_and_inside_long_ones(describe: Hasher) -> None:
    short = describe({"messages": turns(2)})
    assert len(short.ends) == 4
    long = describe({"messages": [message("user", "x" * 5000)]})
    assert len(long.ends) == 6
    assert long.sizes[:-1] == [1024, 1536, 2048, 3072, 4096]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body["messages"][2].update(content="x"), id="content"),
        pytest.param(lambda body: body["messages"][2].update(role="tool"), id="role"),
        pytest.param(lambda body: body["messages"][2].update(name="x"), id="another member"),
        pytest.param(lambda body: body["messages"].pop(2), id="one less"),
        pytest.param(lambda body: body["messages"].insert(2, message("user", "")), id="one more"),
    ],
)
def test_what_differs_ends_what_is_common(describe: Hasher, change: Any) -> None:
    body = {"messages": turns(3)}
    one = describe(body)
    change(body)
    other = describe(body)
    assert one.ends[:2] == other.ends[:2]
    assert not set(one.ends[2:]) & set(other.ends[2:])
    assert one.affinity == other.affinity


def test_long_texts_have_in_common_what_they_begin_with(describe: Hasher) -> None:
    text = "".join(random.Random(1).choices("abcdefgh ", k=100_000))
    one = describe({"messages": [message("user", text + "one")]})
    other = describe({"messages": [message("user", text[:50_000] + "other")]})
    common = [end for end in one.ends if end in other.ends]
    assert one.ends[: len(common)] == common
    assert common[-1].endswith(":49152")
    assert len(one.ends) <= 16


@pytest.mark.parametrize("leading", ["tools", "system", "instructions"])
def test_what_stands_in_front_of_the_messages_counts(describe: Hasher, leading: str) -> None:
    body = {"messages": turns(2)}
    plain = describe(body)
    one = describe({**body, leading: [{"type": "text", "text": "one"}]})
    other = describe({leading: [{"text": "one", "type": "text"}], **body})
    assert not set(plain.ends) & set(one.ends)
    assert one == other
    assert len(one.ends) == 5
    assert describe({**body, leading: "other"}).affinity not in {plain.affinity, one.affinity}


def test_marks_of_what_to_cache_are_no_part_of_a_prompt(describe: Hasher) -> None:
    def text(words: str, *, marked: bool) -> list[dict[str, Any]]:
        mark = {"cache_control": {"type": "ephemeral"}} if marked else {}
        return [{"type": "text", "text": words, **mark}]

    first = [message("user", text("one", marked=True))]
    second = [
        message("user", text("one", marked=False)),
        message("assistant", text("two", marked=False)),
        message("user", text("three", marked=True)),
    ]
    one, other = describe({"messages": first}), describe({"messages": second})
    assert other.prefix.startswith(one.prefix + ",")


def test_conversations_that_share_a_system_prompt_have_their_own_affinity(
    describe: Hasher,
) -> None:
    system = message("system", "Be kind. " * 400)
    one = describe({"messages": [system, message("user", "one")]})
    other = describe({"messages": [system, message("user", "other")]})
    assert one.ends[:-1] == other.ends[:-1]
    assert one.affinity != other.affinity


def test_a_chain_has_32_ends_at_most_the_newest_among_them(describe: Hasher) -> None:
    conversation = turns(60)
    one = describe({"messages": conversation[:-2]})
    other = describe({"messages": conversation})
    assert len(one.ends) == len(other.ends) == 32
    assert one.ends[-1] in other.ends
    assert one.ends[:8] == other.ends[:8]
    assert len(one.prefix) < 1024


def test_what_no_context_holds_is_left_out(describe: Hasher) -> None:
    parts = [{"type": "text", "text": "x" * 300_000} for _ in range(8)]
    one = describe({"messages": [message("user", parts), message("user", "y")]})
    assert one.ends
    assert max(one.sizes) < 1_600_000


@pytest.mark.parametrize("main", ["prompt", "input", "input_prefix"])
def test_a_prompt_that_grows_keeps_what_it_began_with(describe: Hasher, main: str) -> None:
    text = "".join(random.Random(2).choices("abcdefgh ", k=3000))
    one, other = describe({main: text[:700]}, main), describe({main: text}, main)
    assert one.ends[:3] == other.ends[:3]
    assert one.sizes[:3] == [256, 384, 512]
    assert one.affinity == other.affinity == one.ends[0].split(":")[0]
    tokens = describe({"prompt": list(range(300))}, "prompt")
    assert tokens.sizes[:2] == [256, 384]


@pytest.mark.parametrize(
    "body",
    [
        '{"messages":[{"role":"user"}',
        '{"messages":[{"role" "user"}]}',
        '{"messages":[{"role":"user",}]}',
        '{"messages":5}',
        '{"messages":[1,"x",null,[{}],{}]}',
        '{"messages":[]}',
        '{"messages":""}',
        "{}",
        "",
    ],
)
def test_no_body_is_too_strange(describe: Hasher, body: str) -> None:
    found = describe(body)
    assert len(found.ends) <= 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": JSON},
        optional={"tool_calls": JSON, "name": st.text(max_size=5)},
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages=MESSAGES, more=JSON)
def test_any_conversation_is_extended_by_any_message(
    describe: Hasher, messages: list[Any], more: Any
) -> None:
    one = describe({"messages": messages})
    other = describe({"messages": [*messages, message("user", more)]})
    assert other.prefix.startswith(one.prefix + ",")
    turned = [dict(reversed(item.items())) for item in messages]
    assert describe({"messages": turned}) == one
