"""HTTP on UNIX sockets, by hand: a short-lived drain should not wait for the import of a client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

TIMEOUT: Final = 5.0
"""Longest answer, in seconds."""


class UnreachableError(Exception):
    """Nobody answers: the other process is not running, starting or ending."""


async def request(
    socket: Path, method: str, path: str, timeout: float = TIMEOUT
) -> tuple[int, str]:
    """Status and body of one answer.

    Raises:
        UnreachableError: There is none.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(socket, method, path)
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        raise UnreachableError(repr(error)) from error


async def _exchange(socket: Path, method: str, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n"
            "content-length: 0\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        body = await _read_body(reader, chunked="transfer-encoding: chunked" in head)
    finally:
        writer.close()
    return int(head.split(" ", 2)[1]), body.decode(errors="replace")


async def _read_body(reader: asyncio.StreamReader, *, chunked: bool) -> bytes:
    if not chunked:
        return await reader.read()
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    return b"".join(parts)
