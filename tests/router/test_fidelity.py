"""Answers arrive as the backend sent them: bytes, status and headers."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint
from tests.router.stub import Recorded, Stubs, chunk, document, head

TEXT = ("data: " + "ü🐋\r\n\x00 x" * 200 + "\n\n").encode()
ADDED_TO_ANSWERS = {"x-request-id", "date"}
CHANGED_IN_ANSWERS = {"connection", "keep-alive", "transfer-encoding"}


def sliced(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


BODIES = {
    "plain": (TEXT, {}),
    "gzip": (gzip.compress(TEXT), {"content-encoding": "gzip"}),
    "deflate": (zlib.compress(TEXT), {"content-encoding": "deflate"}),
    "br": (b"\x0b\x02\x80binary\x00\xff", {"content-encoding": "br"}),
    "empty": (b"", {}),
}
KINDS = ["application/json; charset=utf-8", "text/event-stream", "application/octet-stream"]


@pytest.fixture
def router(stubs: Stubs, start_router: StartRouter) -> RouterProgram:
    stub = stubs.start(answer)
    started = start_router([endpoint()], {"chat": [stub.backend()]})
    started.wait_healthy(1)
    return started


async def answer(request: Recorded) -> AsyncIterator[bytes]:
    """The answer that the request's own headers ask for."""
    wanted = dict(request.headers)
    body, encoding = BODIES[wanted["x-body"]]
    fields = {
        "content_type": wanted["x-type"],
        "server": "llama.cpp",
        "x_custom": 'a, b; "c"',
        "set_cookie": "a=1",
        "access_control_allow_origin": "",
        "x_accel_buffering": "no",
        "keep_alive": "timeout=5, max=100",
        "process_start_time_unix": "1",
        **{name.replace("-", "_"): value for name, value in encoding.items()},
    }
    status = wanted["x-status"]
    if wanted["x-framing"] == "length":
        yield head(status, **fields, content_length=str(len(body))) + body
    elif wanted["x-framing"] == "close":
        yield head(status, **fields, connection="close") + body
    else:
        yield head(status, **fields, transfer_encoding="chunked")
        for part in sliced(body, 7):  # splits characters of several bytes
            yield chunk(part)
        yield b"0\r\n\r\n"


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Oops"])
def test_every_framing_and_encoding_arrives_byte_for_byte(
    router: RouterProgram, status: str
) -> None:
    for name, (body, encoding) in BODIES.items():
        for framing in ("length", "chunked", "close"):
            for kind in KINDS:
                wanted = {
                    "x-body": name,
                    "x-framing": framing,
                    "x-type": kind,
                    "x-status": status,
                    "accept-encoding": "gzip, deflate, br",
                }
                with router.client.stream(
                    "POST", "/v1/chat/completions", json={}, headers=wanted
                ) as got:
                    raw = b"".join(got.iter_raw())
                case = (name, framing, kind)
                assert (case, body) == (case, raw)
                assert (case, int(status[:3])) == (case, got.status_code)
                expected = {
                    "content-type": kind,
                    "server": "llama.cpp",
                    "x-custom": 'a, b; "c"',
                    "set-cookie": "a=1",
                    "access-control-allow-origin": "",
                    "x-accel-buffering": "no",
                    "process-start-time-unix": "1",
                    **encoding,
                }
                if framing == "length":
                    expected["content-length"] = str(len(body))
                kept = {
                    key: value
                    for key, value in got.headers.items()
                    if key not in ADDED_TO_ANSWERS | CHANGED_IN_ANSWERS
                }
                assert (case, expected) == (case, kept)


def test_events_arrive_as_they_are_sent(stubs: Stubs, start_router: StartRouter) -> None:
    async def paced(_: Recorded) -> AsyncIterator[bytes]:
        yield head(content_type="text/event-stream", transfer_encoding="chunked")
        for number in range(5):
            yield chunk(f"data: {number} {time.monotonic()}\n\n".encode())
            await asyncio.sleep(0.1)
        yield b"0\r\n\r\n"

    stub = stubs.start(paced)
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    with router.client.stream("POST", "/v1/chat/completions", json={"stream": True}) as got:
        delays = [time.monotonic() - float(line.split()[2]) for line in got.iter_lines() if line]
    assert len(delays) == 5
    assert max(delays) < 0.05


def test_answers_without_token_counts_may_be_larger_than_any_buffer(
    stubs: Stubs, start_router: StartRouter
) -> None:
    size = 48 * 1024 * 1024

    async def large(_: Recorded) -> AsyncIterator[bytes]:
        yield document(b" " * size)

    stub = stubs.start(large)
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    answer = router.client.post("/v1/embeddings", json={"input": "x"})
    assert (200, size) == (answer.status_code, len(answer.content)), answer.text[:300]
