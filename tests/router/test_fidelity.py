"""What passes the router is what was sent: bytes, status and headers, both ways."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.router.conftest import StartRouter
from tests.router.program import RouterProgram, endpoint, eventually
from tests.router.stub import Answer, Gate, Recorded, Stub, Stubs, chunk, document, head
from tests.router.wire import Fields, exchange, request

DIFFERENCES: Final = {
    "answers": {
        "connection",
        "date",  # added where the server sends none
        "keep-alive",
        "transfer-encoding",
        "x-request-id",  # added
    },
    "requests": {
        "connection",
        "x-forwarded-proto",  # added
        "x-request-id",  # added
    },
}
"""Headers that may differ from those of a request to the server itself."""

CHAT: Final = "/v1/chat/completions"
JSON: Final = "application/json; charset=utf-8"
SSE: Final = "text/event-stream"
BYTES: Final = "application/octet-stream"
DATE: Final = "Tue, 15 Nov 1994 08:12:31 GMT"
LETTERS: Final = "é€🐋"
TOKENS: Final = 3
DOCUMENT: Final = json.dumps(
    {"content": LETTERS, "timings": {"prompt_n": 2, "predicted_n": TOKENS}}, ensure_ascii=False
).encode()
EVENT: Final = b"data: %s\n\n" % DOCUMENT
NOISE: Final = ("data: " + f"{LETTERS}\r\n\x00 x" * 9 + "\n\n").encode()
BODIES: Final = {
    "identity": NOISE,
    "gzip": gzip.compress(NOISE),
    "deflate": zlib.compress(NOISE),
    "br": b"\x0b\x02\x80hello\x03",
    "zstd": b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",
}
"""Bodies by their Content-Encoding."""
PAUSE: Final = 0.001
"""After it Envoy gets the next part by itself, in seconds."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One answer of the server."""

    parts: tuple[bytes, ...]
    """What comes at once; a chunk where the framing has chunks."""
    kind: str = SSE
    framing: str = "chunked"
    status: str = "200 OK"
    encoding: str = "identity"
    accepts: str | None = None
    """Accept-Encoding of the request."""
    date: str | None = DATE
    extension: bytes = b""
    trailers: bytes = b""
    tokens: int = 0
    """Generated tokens that the router reads in it."""


def cut(data: bytes, pieces: int) -> tuple[bytes, ...]:
    size = -(-len(data) // pieces)
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def every_cut(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """The data in two parts, cut at every place, and all cuts at once."""
    yield from ((data[:at], data[at:]) for at in range(1, len(data)))
    yield cut(data, len(data))


def large(size: int) -> bytes:
    """An event of more than so many bytes."""
    return b'data: {"content":"%s",%s\n\n' % ("€".encode() * (size // 3 + 1), DOCUMENT[1:])


def cases() -> Iterator[tuple[str, list[Sent]]]:
    """Answers by what they are about."""
    framings = ("length", "chunked", "close")
    for encoding, framing, kind in itertools.product(BODIES, framings, (JSON, SSE, BYTES)):
        yield (
            f"{encoding} {framing} {kind.partition(';')[0]}",
            [
                Sent(cut(BODIES[encoding], 3), kind, framing, status, encoding, accepts)
                for status in ("200 OK", "400 Bad Request", "500 Oops")
                for accepts in (None, "gzip, deflate, br, zstd")
            ],
        )
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(EVENT) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(4)]
    yield "events compressed one by one", [Sent((*packed, packer.flush()), encoding="gzip")]
    yield "nothing", [Sent((), kind, framing) for kind in (JSON, SSE) for framing in framings]
    yield "a status without a body", [Sent((), framing="none", status="204 No Content")]

    text = f"a{LETTERS}z".encode()
    yield "text cut everywhere", [Sent(parts, "text/plain") for parts in every_cut(text)]
    yield (
        "a document cut everywhere",
        [Sent(parts, JSON, tokens=TOKENS) for parts in every_cut(DOCUMENT)],
    )
    yield (
        "an event cut everywhere",
        [Sent(parts, tokens=TOKENS) for parts in every_cut(EVENT)],
    )
    for name, end in (("CR LF", b"\r\n"), ("CR", b"\r")):
        event = b": ping" + end * 2 + EVENT.replace(b"\n", end) + b"data: [DONE]" + end * 2
        yield (
            f"lines that end with {name}",
            [Sent(parts, tokens=TOKENS) for parts in every_cut(event)],
        )
    mark = b"\xef\xbb\xbf"
    yield (
        "a byte order mark",
        [
            *(Sent((mark[:at], mark[at:] + EVENT), tokens=TOKENS) for at in (1, 2, 3)),
            Sent((mark, DOCUMENT), JSON, tokens=TOKENS),
        ],
    )
    for bad in (b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x90", b"\xc0\xaf", b"\xed\xa0\x80"):
        broken = DOCUMENT.replace(LETTERS.encode(), bad)
        yield (
            f"no UTF-8: {bad.hex()}",
            [
                Sent((b"data: %s\n\n" % broken, EVENT), tokens=TOKENS),
                Sent((broken,), JSON),
                Sent((bad,), "text/plain"),
            ],
        )
    yield (
        "events without data",
        [Sent((b": ping\n\n", b"\n", b"data:\n\n", b"event: x\n\n", EVENT), tokens=TOKENS)],
    )
    yield (
        "large events",
        [
            Sent((*cut(large(size), 3), EVENT), tokens=TOKENS)
            for size in (65_000, 66_000, 300_000, 2_000_000)
        ],
    )
    yield "counts within a large event", [Sent(cut(large(900_000), 9), tokens=TOKENS)]
    yield "extended chunks", [Sent((EVENT,), extension=b';name="value"', tokens=TOKENS)]
    yield "a server without a clock", [Sent((EVENT,), date=None, tokens=TOKENS)]


CASES: Final = dict(cases())


def answering(sent: Sent) -> Answer:
    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        lines = [
            f"HTTP/1.1 {sent.status}",
            "Server: llama.cpp",
            f"Content-Type: {sent.kind}",
            'X-Custom: a, b; "c"',
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Access-Control-Allow-Origin:",
            "Keep-Alive: timeout=5, max=100",
            "Process-Start-Time-Unix: 1",
        ]
        if sent.date:
            lines.append(f"Date: {sent.date}")
        if sent.encoding != "identity":
            lines += [f"Content-Encoding: {sent.encoding}", "Vary: Accept-Encoding"]
        framed = {
            "length": f"Content-Length: {sum(map(len, sent.parts))}",
            "chunked": "Transfer-Encoding: chunked",
            "close": "connection: close",
        }
        lines += [framed[sent.framing]] if sent.framing in framed else []
        yield "\r\n".join([*lines, "", ""]).encode()
        for part in sent.parts:
            await asyncio.sleep(PAUSE)
            yield extended(part, sent.extension) if sent.framing == "chunked" else part
        if sent.framing == "chunked":
            yield b"0\r\n%s\r\n" % sent.trailers

    return answer


def extended(part: bytes, extension: bytes) -> bytes:
    return chunk(part).replace(b"\r\n", extension + b"\r\n", 1)


class Ways:
    """A server, and the two ways to it."""

    def __init__(self, folder: Path) -> None:
        self.stubs = Stubs()
        self.stub: Stub = self.stubs.start()
        self.router = RouterProgram(folder, [endpoint()], {"chat": [self.stub.backend()]})
        self.router.wait_healthy(1)
        self.control = httpx.Client(base_url=self.router.control)

    def direct(self) -> socket.socket:
        return socket.create_connection((self.stub.host, self.stub.port), timeout=10)

    def counted(self) -> float:
        """Generated tokens that the router has counted so far."""
        series = "puna_router_generated_tokens_total{"
        lines = [
            line
            for line in self.control.get("/metrics").text.splitlines()
            if line.startswith(series)
        ]
        return sum(float(line.split()[1]) for line in lines)

    def close(self) -> None:
        self.control.close()
        self.router.stop()
        self.stubs.close()


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    started = Ways(tmp_path_factory.mktemp("fidelity"))
    yield started
    started.close()


def differing(direct: Fields, through: Fields) -> set[str]:
    """Names of headers that one of both lacks or has with another value."""
    return {name for name, _ in set(direct) ^ set(through)}


def kept(fields: Fields, side: str) -> Fields:
    return tuple(field for field in fields if field[0] not in DIFFERENCES[side])


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_servers_own(ways: Ways, name: str) -> None:
    before = ways.counted()
    # The last one tells that the counts of the others are there.
    variants = [*CASES[name], Sent((EVENT,), tokens=TOKENS)]
    for number, sent in enumerate(variants):
        ways.stub.answer = answering(sent)
        accepts = {"accept_encoding": sent.accepts} if sent.accepts else {}
        asked = request(CHAT, b'{"stream":true}', **accepts)
        direct, through = exchange(ways.direct(), asked), exchange(ways.router.socket(), asked)
        assert (number, b"".join(sent.parts)) == (number, through.body)
        assert (number, direct.status, direct.body) == (number, through.status, through.body)
        assert kept(direct.headers, "answers") == kept(through.headers, "answers")
        received = [found.header("accept-encoding") for found in ways.stub.requests[-2:]]
        assert received == [sent.accepts] * 2
    expected = before + sum(sent.tokens for sent in variants)
    eventually(lambda: ways.counted() == expected)


def test_headers_of_answers_differ_by_the_frozen_list_alone(ways: Ways) -> None:
    found: set[str] = set()
    for framing in ("length", "close"):
        ways.stub.answer = answering(Sent((EVENT,), framing=framing, date=None))
        servers = (f"http://{ways.stub.host}:{ways.stub.port}", ways.router.url)
        # Of clients that would use their connection again.
        answers = (httpx.post(f"{server}{CHAT}", content=b"{}") for server in servers)
        direct, through = (tuple(answer.headers.multi_items()) for answer in answers)
        found |= differing(direct, through)
    assert found == DIFFERENCES["answers"]


def test_trailers_end_at_the_router(ways: Ways) -> None:
    ways.stub.answer = answering(Sent((EVENT,), trailers=b"x-checksum: 1\r\n"))
    asked = request(CHAT, b"{}")
    direct, through = exchange(ways.direct(), asked), exchange(ways.router.socket(), asked)
    assert (direct.trailers, through.trailers) == ((("x-checksum", "1"),), ())
    assert direct.body == through.body


def test_the_head_of_a_page_says_its_length(ways: Ways) -> None:
    async def told(_: Recorded) -> AsyncIterator[bytes]:
        yield document(DOCUMENT).removesuffix(DOCUMENT)

    ways.stub.answer = told
    direct = exchange(ways.direct(), request("/props", method="HEAD"))
    through = exchange(ways.router.socket(), request("/endpoints/chat/props", method="HEAD"))
    assert (direct.status, direct.body) == (through.status, through.body)
    assert kept(direct.headers, "answers") == kept(through.headers, "answers")
    assert ("content-length", str(len(DOCUMENT))) in through.headers


def test_a_request_is_the_clients_own(ways: Ways) -> None:
    ways.stub.answer = answering(Sent((DOCUMENT,), JSON))
    body = json.dumps({"prompt": f"{LETTERS}\n", "n": 2**60}, ensure_ascii=False).encode()
    headers = {"user_agent": "mine", "accept": "*/*", "x_custom": "a, b", "content_type": JSON}
    sendings: list[bytes | tuple[bytes, ...]] = [body, *every_cut(body)]
    for sent in sendings:
        asked = request(CHAT, sent, **headers)
        exchange(ways.direct(), asked)
        exchange(ways.router.socket(), asked)
        direct, through = ways.stub.requests[-2:]
        assert body == direct.body == through.body
        assert (direct.method, direct.path) == (through.method, through.path)
        assert kept(direct.headers, "requests") == kept(through.headers, "requests")


def test_headers_of_requests_differ_by_the_frozen_list_alone(ways: Ways) -> None:
    ways.stub.answer = answering(Sent((DOCUMENT,), JSON))
    asked = request(CHAT, (b"{}",), user_agent="mine")
    exchange(ways.direct(), asked)
    exchange(ways.router.socket(), asked)
    direct, through = ways.stub.requests[-2:]
    assert differing(direct.headers, through.headers) == DIFFERENCES["requests"]


@pytest.mark.parametrize("encoding", [name for name in BODIES if name != "identity"])
def test_a_compressed_body_is_refused_unless_it_is_an_upload(ways: Ways, encoding: str) -> None:
    ways.stub.answer = answering(Sent((DOCUMENT,), JSON))
    before = len(ways.stub.requests)
    body, headers = BODIES[encoding], {"content_encoding": encoding}
    refused = exchange(ways.router.socket(), request(CHAT, body, **headers))
    assert refused.status == 415
    assert json.loads(refused.body)["error"]["reason"] == "unsupported_encoding"
    upload = "/v1/audio/transcriptions"
    asked = request(f"/endpoints/chat{upload}", (body,), **headers)
    assert exchange(ways.router.socket(), asked).body == DOCUMENT
    (found,) = ways.stub.requests[before:]
    assert (upload, encoding, body) == (found.path, found.header("content-encoding"), found.body)


def test_a_body_may_say_that_it_is_not_compressed(ways: Ways) -> None:
    ways.stub.answer = answering(Sent((DOCUMENT,), JSON))
    asked = request(CHAT, b"{}", content_encoding="identity")
    assert exchange(ways.router.socket(), asked).body == DOCUMENT


def test_events_arrive_as_they_are_sent(stubs: Stubs, start_router: StartRouter) -> None:
    gates = [Gate() for _ in range(5)]

    async def paced(_: Recorded) -> AsyncIterator[bytes]:
        yield head(content_type="text/event-stream", transfer_encoding="chunked")
        for number, gate in enumerate(gates):
            yield chunk(f'data: {{"number":{number}}}\n\n'.encode())
            await gate.passed()
        yield b"0\r\n\r\n"

    stub = stubs.start(paced)
    router = start_router([endpoint()], {"chat": [stub.backend()]})
    router.wait_healthy(1)
    with router.client.stream("POST", "/v1/chat/completions", json={"stream": True}) as got:
        events = (line for line in got.iter_lines() if line)
        for number, gate in enumerate(gates):
            assert next(events) == f'data: {{"number":{number}}}'
            # Nothing follows until this one has arrived.
            gate.open()
        assert list(events) == []


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
