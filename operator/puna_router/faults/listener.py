"""Where a server listens; it can refuse connections for a while."""

from __future__ import annotations

import asyncio
from typing import Final

from puna_router.faults.connection import Answer, Connection

BACKLOG: Final = 4096


class Listener:
    """One TCP listener; `port` is the one that was found where 0 was asked for."""

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        self._host = host
        self.port = port
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._refusing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._answer), self._host, self.port, backlog=BACKLOG
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Accept none any more; connections that are open stay."""
        if self._refusing is not None:
            self._refusing.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None

    def refuse(self, seconds: float) -> None:
        """Refuse new connections for a while."""
        self.close()
        self._refusing = asyncio.get_running_loop().create_task(self._open_after(seconds))

    async def _open_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.open()
