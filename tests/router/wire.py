"""One HTTP/1.1 exchange on a connection of its own, down to the bytes."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TypeAlias

from tests.router.stub import chunk

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Names in lower case with their values, in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire; `body` is without the chunks around it."""

    status: int
    headers: Fields
    body: bytes
    trailers: Fields = ()


def request(
    path: str, body: bytes | tuple[bytes, ...] = b"", method: str = "POST", **headers: str
) -> bytes:
    """Bytes of a request that asks for the end of its connection; parts become chunks."""
    fields = {"host": "router.example", "connection": "close", **headers}
    if isinstance(body, tuple):
        fields["transfer-encoding"] = "chunked"
        sent = b"".join(chunk(part) for part in (*body, b""))
    else:
        fields["content-length"] = str(len(body))
        sent = body
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + sent


def exchange(connection: socket.socket, sent: bytes) -> Answer:
    """The answer to a request that ends its connection."""
    with connection:
        connection.sendall(sent)
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    code, headers = int(status.split(" ")[1]), _fields(lines)
    if ("transfer-encoding", "chunked") not in headers:
        return Answer(code, headers, rest)
    body, trailers = _unchunked(rest)
    return Answer(code, headers, body, trailers)


def _fields(lines: list[str]) -> Fields:
    split = (line.partition(":") for line in lines if line)
    return tuple((name.lower(), value.strip()) for name, _, value in split)


def _unchunked(data: bytes) -> tuple[bytes, Fields]:
    body = b""
    while True:
        line, mark, data = data.partition(b"\r\n")
        assert mark, "the body breaks off"
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            return body, _fields(data.decode("latin-1").split("\r\n"))
        body += data[:size]
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
