"""HTTP/1.1 on a stream: requests in, heads and chunks out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

HEAD_LIMIT: Final = 64 * 1024
"""Longest head of a request, in bytes."""
BODY_LIMIT: Final = 64 * 1024 * 1024
"""Longest body of a request, in bytes."""
LAST_CHUNK: Final = b"0\r\n\r\n"
JSON: Final = "application/json; charset=utf-8"


class MalformedRequestError(Exception):
    """The client does not speak HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; names of headers are in lower case."""

    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None where the client has ended it in between.

    Raises:
        MalformedRequestError: what came is no request.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise MalformedRequestError("the connection ended within a head") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedRequestError("the head is too long") from error
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    try:
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await _body(reader, headers)
    except (ValueError, asyncio.IncompleteReadError) as error:
        raise MalformedRequestError(str(error)) from error
    return Request(method, target.partition("?")[0], headers, body)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(_within(int(headers.get("content-length", "0"))))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        _within(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body


def _within(size: int) -> int:
    if not 0 <= size <= BODY_LIMIT:
        raise ValueError(f"a body of {size} bytes")
    return size


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A response's head, with the server's name as llama-server gives it."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Server: llama.cpp",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def document(body: bytes, *, status: int = 200, kind: str = JSON) -> list[bytes]:
    """A whole response: head, first half and second half of its body."""
    middle = len(body) // 2
    fields = {"Content-Type": kind, "Content-Length": str(len(body))}
    return [head(status, fields), body[:middle], body[middle:]]


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
