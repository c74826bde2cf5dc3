"""What a backend gets: bodies spliced as bytes, checked through the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.router.program import RouterProgram, endpoint, revision
from tests.router.stub import Stub, Stubs

CHAT = "/v1/chat/completions"
DEFAULTS = {"temperature": 0.5, "top_k": 40}
FORCED = {"min_p": 0.125}
SYSTEM = 'Say "yes" \\ \n ü'
LIMIT_NAMES = ("n_predict", "max_completion_tokens", "max_tokens", "max_output_tokens")


class Bench:
    """A router with one endpoint and its backend."""

    def __init__(self, folder: Path) -> None:
        self.stubs = Stubs()
        self.stub: Stub = self.stubs.start()
        own = revision(defaults={**DEFAULTS, "max_tokens": 77}, forced=FORCED, systemPrompt=SYSTEM)
        presets = {
            "bare": {},
            "empty": {"defaults": {"a": 1}},
            "strict": {"forced": {"max_tokens": 5, "temperature": 0}},
        }
        self.router = RouterProgram(
            folder,
            [endpoint("chat", own, presets=presets, keepAliveSeconds=7)],
            {"chat": [self.stub.backend()]},
        )
        self.router.wait_healthy(1)

    def send(self, body: bytes | str, path: str = CHAT, **headers: str) -> bytes:
        """What the backend got for a body."""
        raw = body.encode() if isinstance(body, str) else body
        answer = self.router.client.post(
            path,
            content=raw,
            headers={name.replace("_", "-"): text for name, text in headers.items()},
        )
        assert answer.status_code == 200, answer.text
        assert answer.content == self.stub.requests[-1].body
        return self.stub.requests[-1].body

    def refuse(self, body: bytes, path: str = CHAT) -> httpx.Response:
        return self.router.client.post(path, content=body)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    started = Bench(tmp_path_factory.mktemp("splicing"))
    yield started
    started.router.stop()
    started.stubs.close()


FRONT = '"temperature":0.5,"top_k":40,"max_tokens":77,'
BEHIND = ',"min_p":0.125'
MESSAGE = '{"role":"system","content":' + json.dumps(SYSTEM) + "}"


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        pytest.param(
            '{"messages":[{"role":"user","content":"hi"}]}',
            "{"
            + FRONT
            + '"messages":['
            + MESSAGE
            + ',{"role":"user","content":"hi"}]'
            + BEHIND
            + "}",
            id="the common case",
        ),
        pytest.param(
            '{ "z" : 1 , "a" : 12345678901234567890, "messages": [ ] }\n',
            "{"
            + FRONT
            + ' "z" : 1 , "a" : 12345678901234567890, "messages": ['
            + MESSAGE
            + " ] "
            + BEHIND
            + "}\n",
            id="key order, big integers and white space stay",
        ),
        pytest.param(
            '{"messages":[{"role":"developer","content":"x"},{"role":"user","content":"y"}]}',
            "{" + FRONT + '"messages":[{"role":"developer","content":"x"},'
            '{"role":"user","content":"y"}]' + BEHIND + "}",
            id="a developer message is a system message",
        ),
        pytest.param(
            '{"messages":[{"content":"{\\"role\\":\\"system\\"}","role":"user"}]}',
            "{"
            + FRONT
            + '"messages":['
            + MESSAGE
            + ',{"content":"{\\"role\\":\\"system\\"}","role":"user"}]'
            + BEHIND
            + "}",
            id="a role inside a string is no role",
        ),
        pytest.param(
            '{"messages":[{"role":"user","content":[{"role":"system"}]}]}',
            "{"
            + FRONT
            + '"messages":['
            + MESSAGE
            + ',{"role":"user","content":[{"role":"system"}]}]'
            + BEHIND
            + "}",
            id="a role deeper down is no role of the message",
        ),
        pytest.param(
            '{"tools":{"messages":[1]},"messages":[{"\\u0072ole":"sys\\u0074em"}]}',
            "{"
            + FRONT
            + '"tools":{"messages":[1]},"messages":[{"\\u0072ole":"sys\\u0074em"}]'
            + BEHIND
            + "}",
            id="escaped keys and values mean what they mean; nested messages are left alone",
        ),
        pytest.param(
            '{"messages":[1],"messages":[{"role":"user"}]}',
            "{"
            + FRONT
            + '"messages":[1],"messages":['
            + MESSAGE
            + ',{"role":"user"}]'
            + BEHIND
            + "}",
            id="of duplicate keys the last one counts",
        ),
        pytest.param(
            '{"messages":"no list"}',
            "{" + FRONT + '"messages":"no list"' + BEHIND + "}",
            id="messages that are no list are the backend's to refuse",
        ),
        pytest.param("{}", "{" + FRONT + '"min_p":0.125}', id="an empty object"),
        pytest.param(
            '{"a":"\\\\"}',
            "{" + FRONT + '"a":"\\\\"' + BEHIND + "}",
            id="a backslash at the end of a string",
        ),
        pytest.param(
            '{"prompt":"ü 🐋 \\ud83d\\udc0b"}',
            "{" + FRONT + '"prompt":"ü 🐋 \\ud83d\\udc0b"' + BEHIND + "}",
            id="unicode, raw and escaped",
        ),
    ],
)
def test_bodies_keep_their_bytes(bench: Bench, sent: str, got: str) -> None:
    assert got.encode() == bench.send(sent)


def test_a_byte_order_mark_stays_in_front(bench: Bench) -> None:
    assert bench.send(b'\xef\xbb\xbf{"a":1}').startswith(b'\xef\xbb\xbf{"temperature"')


@pytest.mark.parametrize("name", LIMIT_NAMES)
def test_a_clients_token_limit_beats_the_default_under_any_of_its_names(
    bench: Bench, name: str
) -> None:
    assert b"77" not in bench.send(f'{{"{name}":3}}')


def test_a_forced_token_limit_beats_the_clients_under_any_of_its_names(bench: Bench) -> None:
    got = json.loads(bench.send('{"model":"chat:strict","n_predict":100}'))
    assert dict.fromkeys(LIMIT_NAMES, 5) == {name: got[name] for name in LIMIT_NAMES}


def test_a_preset_takes_the_place_of_the_revisions_own(bench: Bench) -> None:
    body = '{"model":"chat:bare","messages":[]}'
    assert body.encode() == bench.send(body)
    assert bench.send("{}", x_puna_preset="empty") == b'{"a":1}'


def test_a_preset_in_the_model_name_beats_the_header(bench: Bench) -> None:
    got = bench.send('{"model":"chat:bare"}', x_puna_preset="empty")
    assert got == b'{"model":"chat:bare"}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '{"stream":true,"model":"chat:bare"}',
            b'{"sse_ping_interval":7,"stream":true,"model":"chat:bare"}',
        ),
        ('{"stream":false,"model":"chat:bare"}', b'{"stream":false,"model":"chat:bare"}'),
        ('{"stream":false,"stream":true,"model":"chat:bare"}', None),
        ('{"stream":true,"sse_ping_interval":2,"model":"chat:bare"}', None),
    ],
)
def test_streams_get_a_keep_alive_that_the_client_may_set(
    bench: Bench, body: str, expected: bytes | None
) -> None:
    assert (expected or b'{"sse_ping_interval":7,' + body[1:].encode()) == bench.send(body)


def test_generate_forces_its_kind_of_answer(bench: Bench) -> None:
    plain = json.loads(bench.send('{"prompt":"x","stream":true}', "/llm/generate"))
    assert plain["stream"] is False
    assert "sse_ping_interval" not in plain
    streamed = json.loads(bench.send('{"prompt":"x"}', "/llm/generate/stream"))
    assert (streamed["stream"], streamed["sse_ping_interval"]) == (True, 7)
    assert bench.stub.requests[-1].path == "/completion"


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("/v1/messages", '{"messages":[]}', "system"),
        ("/v1/responses", '{"input":"x"}', "instructions"),
    ],
)
def test_other_protocols_get_the_system_prompt_where_they_keep_it(
    bench: Bench, path: str, body: str, key: str
) -> None:
    got = json.loads(bench.send(body, path))
    assert got[key] == SYSTEM
    assert got.get("messages", []) == []
    own = json.loads(bench.send(body[:-1] + f',"{key}":"mine"}}', path))
    assert own[key] == "mine"


def test_paths_without_generation_are_not_spliced(bench: Bench) -> None:
    for path in ("/endpoints/chat/tokenize", "/v1/embeddings"):
        assert bench.send('{"content":"x"}', path) == b'{"content":"x"}'


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"1", b'"x"', b"{", b'{"a":1', b'{"a":1}x', b'{"a":1,}', b"{a:1}", b'{"a" 1}',
        b'{"a":}', b'{"a":1 "b":2}', b'{"a":"', b'{"a":[1}', b"\xff\xfe{}", b"{}{}", b'{"a":"\\"}',
    ],
)  # fmt: skip
def test_bodies_that_are_no_object_are_refused(bench: Bench, body: bytes) -> None:
    before = len(bench.stub.requests)
    answer = bench.refuse(body)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "invalid_json")
    assert before == len(bench.stub.requests)


def test_chunked_bodies_are_spliced_too(bench: Bench) -> None:
    parts = iter([b'{"model":"chat:em', b'pty"}'])
    answer = bench.router.client.post(CHAT, content=parts)
    assert answer.content == b'{"a":1,"model":"chat:empty"}'


def test_large_bodies_pass_up_to_the_limit(bench: Bench) -> None:
    image = "A" * (20 * 1024 * 1024)
    got = bench.send(f'{{"model":"chat:empty","image":"{image}"}}')
    assert got == f'{{"a":1,"model":"chat:empty","image":"{image}"}}'.encode()
    answer = bench.refuse(b'{"a":"' + b"x" * (33 * 1024 * 1024) + b'"}')
    assert (answer.status_code, answer.json()["error"]["reason"]) == (413, "body_too_large")


KEYS = st.sampled_from(
    [*LIMIT_NAMES, "temperature", "top_k", "min_p", "stream", "messages", "system", "ü", 'q"\\', ""]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"content": st.text(max_size=8)},
        optional={"role": st.sampled_from(["user", "assistant", "system", "developer", 1])},
    )
    | SCALARS,
    max_size=3,
)
MEMBERS = st.lists(
    st.one_of(st.tuples(KEYS, VALUES), st.tuples(st.just("messages"), MESSAGES)), max_size=6
)


def written(members: list[tuple[str, Any]], style: dict[str, Any]) -> str:
    """An object with its members in order, duplicates included."""
    pairs = [f"{json.dumps(key, **style)}:{json.dumps(value, **style)}" for key, value in members]
    return "{" + ",".join(pairs) + "}"


def merged(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """What the body has to mean to a reader with whom the last of duplicate keys wins."""
    given = dict(members)
    result = {**DEFAULTS, **given}
    if given.get("stream") is True:
        result.setdefault("sse_ping_interval", 7)
    if not any(name in given for name in LIMIT_NAMES):
        result["max_tokens"] = 77
    messages = given.get("messages")
    if isinstance(messages, list):
        roles = [message.get("role") for message in messages if isinstance(message, dict)]
        if not {"system", "developer"} & {role for role in roles if isinstance(role, str)}:
            result["messages"] = [{"role": "system", "content": SYSTEM}, *messages]
    return {**result, **FORCED}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    members=MEMBERS,
    style=st.sampled_from([{}, {"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")}]),
)
def test_a_spliced_body_means_the_merge_of_preset_and_client(
    bench: Bench, members: list[tuple[str, Any]], style: dict[str, Any]
) -> None:
    body = written(members, style)
    assert merged(json.loads(json.dumps(members))) == json.loads(bench.send(body))
