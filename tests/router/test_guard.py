"""Streams of servers outside the cluster: none of their events ends Envoy."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.router.conftest import StartRouter
from tests.router.lua_program import lua_function
from tests.router.program import endpoint, eventually, revision
from tests.router.stub import Recorded, Stubs, chunk, document, head
from tests.router.test_external import healthy

CHAT = "/v1/chat/completions"
GUARDED = """
(function()
  local limit, sizes, stream = string.match(text, "^(%d+);([^;]*);(.*)$")
  local guard, parts, at = new_guard(), {}, 1
  local function take(part)
    parts[#parts + 1] = guard_events(guard, part, tonumber(limit))
  end
  for size in string.gmatch(sizes, "%d+") do
    take(string.sub(stream, at, at + tonumber(size) - 1))
    at = at + tonumber(size)
  end
  take(string.sub(stream, at))
  return table.concat(parts, "\\1")
end)()
"""
UNLIMITED = 1 << 20
BARE = ("0", "-1.5e3", '"text"', "true", "false", "null", "\ufeff0", " 7", "\t7")
TEXT = ("token", "not ready", "nullable", "2026-11-28 up", '"quoted" text', "-", "\uff01")
"""What is no JSON, though it begins like some."""
GOOD = ('{"a":1}', "[1]", "[DONE]", "", "word", '{"a":"data: 0"}', "{", ": 0")
FIELDS = ("data:", "data: ", "data", "event: ping", "id: 0", ": 0", "retry: 3", "datum: 0", "dat")
ENDS = ("\n", "\r\n", "\r")

BOM = "\ufeff".encode()
LINE_END = rb"(?>\r\n|\r(?!\Z)|\n)"
"""A carriage return that comes last may still be half of one."""
SIZES = st.lists(st.integers(0, 9), max_size=20)


def lines(data: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Lines with such data, or of other fields."""
    return st.one_of(
        st.tuples(st.sampled_from(("data:", "data: ")), st.sampled_from(data)).map("".join),
        st.sampled_from(FIELDS),
        st.just(""),
    )


def streams(lines: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Lines with any ends, empty ones among them."""
    ended = st.tuples(lines, st.sampled_from(ENDS)).map("".join)
    return st.lists(ended, max_size=12).map("".join).map(str.encode)


def events(parts: list[bytes], limit: int = UNLIMITED) -> list[bytes]:
    """Data of the events as Envoy reads them, who forgets one that is unfinished and too large.

    After `sse_to_metadata/filter.cc` and `sse_parser.cc`.
    """
    found, held = [], b""
    for part in parts:
        held += part
        while ended := re.match(
            rb"(?:[^\r\n]+%b)*%b" % (LINE_END, LINE_END), held.removeprefix(BOM)
        ):
            event, held = ended[0], held.removeprefix(BOM)[ended.end() :]
            lines = re.split(rb"\r\n|\r|\n", event)
            data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            found += [b"\n".join(data)]
        if len(held) > limit:
            held = b""
    return [data for data in found if data]


def is_bare(data: bytes) -> bool:
    """Whether data are JSON without an object or an array around it."""
    try:
        return not isinstance(json.loads(data.removeprefix(BOM)), dict | list)
    except ValueError:
        return False


@pytest.fixture(scope="module")
def lua(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with lua_function(tmp_path_factory.mktemp("guard"), ("guard",), GUARDED) as client:
        yield client


def guarded(
    lua: httpx.Client, stream: bytes, sizes: list[int], limit: int = UNLIMITED
) -> list[bytes]:
    """A stream as the guard lets it go on, when it comes in parts of such sizes, in bytes."""
    head = f"{limit};{','.join(map(str, sizes))};".encode()
    return lua.post("/", content=head + stream).content.split(b"\1")


TALKS = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@TALKS
@given(streams(lines(BARE + GOOD + TEXT)), SIZES, st.sampled_from((5, 20, 40, UNLIMITED)))
def test_no_event_is_left_whose_data_are_bare(
    lua: httpx.Client, stream: bytes, sizes: list[int], limit: int
) -> None:
    found = guarded(lua, stream, sizes, limit)
    assert not any(map(is_bare, events(found, limit)))


@TALKS
@given(streams(lines(GOOD)), SIZES)
def test_good_streams_pass_as_they_are(lua: httpx.Client, stream: bytes, sizes: list[int]) -> None:
    assert b"".join(guarded(lua, stream, sizes)) == stream


@TALKS
@given(streams(lines(GOOD + TEXT)))
def test_text_that_is_no_json_passes_in_whole_lines(lua: httpx.Client, stream: bytes) -> None:
    assert guarded(lua, stream, []) == [stream]


@pytest.mark.parametrize("bare", BARE)
def test_the_client_is_told_in_the_place_of_the_event(lua: httpx.Client, bare: str) -> None:
    stream = f'data: {{"a":1}}\n\ndata: {bare}\n\ndata: [DONE]\n\n'.encode()
    first, error, last = events(guarded(lua, stream, []))
    assert (first, last) == (b'{"a":1}', b"[DONE]")
    assert json.loads(error)["error"]["reason"] == "invalid_event"


def test_an_event_that_is_too_large_hides_no_other(lua: httpx.Client) -> None:
    """Envoy forgets its beginning, and takes what follows for another one."""
    stream = b"data: {\n" + b":x\n" * 20 + b"data: 0\n\n"
    found = guarded(lua, stream, [68], 40)
    assert events([stream[:68], stream[68:]], 40) == [b"0"]
    assert not any(map(is_bare, events(found, 40)))


@pytest.mark.parametrize("presets", [1, 2])
@pytest.mark.parametrize("bare", [b"0", b'"x"', b"null"])
def test_a_server_outside_the_cluster_cannot_end_envoy(
    stubs: Stubs, start_router: StartRouter, bare: bytes, presets: int
) -> None:
    """With one preset for all revisions, and with one for each."""

    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        kind = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
        yield head(**kind) + chunk(b'data: {"timings":{"predicted_n":7}}\n\ndata:')
        yield chunk(b" " + bare + b"\n\ndata: [DONE]\n\n") + b"0\r\n\r\n"

    studio = stubs.start(answer)
    external = {"name": "studio", "url": f"http://127.0.0.1:{studio.port}", "slots": 4}
    revisions = [
        revision(f"{number:08x}", weight=50, defaults={"temperature": number})
        for number in range(1, presets + 1)
    ]
    router = start_router([endpoint("chat", *revisions, external=[external])], {})
    eventually(lambda: healthy(router) == {"studio": True})
    for _ in range(3):
        answered = router.client.post(CHAT, json={"stream": True})
        assert answered.status_code == 200
        first, error, last = events([answered.content])
        assert (first, last) == (b'{"timings":{"predicted_n":7}}', b"[DONE]")
        assert json.loads(error)["error"]["reason"] == "invalid_event"
    assert "Segmentation fault" not in router.log.read_text(errors="replace")


def test_an_answer_that_tells_its_length_may_still_grow(
    stubs: Stubs, start_router: StartRouter
) -> None:
    """Else the client would take the rest of it for the next answer."""
    body = b"data: 0\n\n"

    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        yield document(body, content_type="text/event-stream")

    studio = stubs.start(answer)
    external = {"name": "studio", "url": f"http://127.0.0.1:{studio.port}", "slots": 4}
    router = start_router([endpoint("chat", external=[external])], {})
    eventually(lambda: healthy(router) == {"studio": True})
    for _ in range(3):
        (error,) = events([router.client.post(CHAT, json={"stream": True}).content])
        assert json.loads(error)["error"]["reason"] == "invalid_event"
