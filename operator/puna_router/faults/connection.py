"""One connection of a client: request after request, until one side has enough."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from puna_router.faults.wire import HEAD_LIMIT, MalformedRequestError, Request, read_request

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing resets the connection."""


class ResetConnectionError(Exception):
    """This connection is to be reset."""


class Connection(asyncio.StreamReaderProtocol):
    """A connection whose answer is given up when its client leaves.

    Like llama-server it takes a client that has closed its sending half for one that has left.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._answering = False
        self._serving: asyncio.Task[None]
        self._writer: asyncio.StreamWriter
        super().__init__(asyncio.StreamReader(limit=HEAD_LIMIT), self._connected)

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client is slow to read."""
        self._writer.write(data)
        await self._writer.drain()

    def eof_received(self) -> bool | None:
        """Give up the answer under way."""
        keep = super().eof_received()
        self._give_up()
        return keep

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the answer under way."""
        super().connection_lost(exc)
        self._give_up()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._serving = asyncio.get_running_loop().create_task(self._serve(reader))

    def _give_up(self) -> None:
        if self._answering:
            self._serving.cancel()

    async def _serve(self, reader: asyncio.StreamReader) -> None:
        transport = self._writer.transport
        with suppress(ConnectionError, MalformedRequestError, asyncio.CancelledError):
            try:
                while request := await read_request(reader):
                    self._answering = True
                    if not await self._answer(request, self):
                        break
                    self._answering = False
            except ResetConnectionError:
                connection: socket.socket = transport.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                transport.abort()
            finally:
                self._answering = False
                transport.close()


Answer = Callable[[Request, Connection], Awaitable[bool]]
"""Answers one request; False: close the connection afterwards.

It may raise ResetConnectionError.
"""
