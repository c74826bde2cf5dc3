"""How the parts of a response reach the client, and what stops them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from puna_router.faults.connection import Connection, ResetConnectionError
from puna_router.faults.fault import Fault
from puna_router.faults.settings import Settings

HEAD_AND_FIRST = 2
"""Parts after which a fault in the middle strikes: the head, and the first of the body."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One response on its way, with its fault."""

    connection: Connection
    settings: Settings
    fault: Fault | None

    async def run(self, parts: AsyncIterator[bytes]) -> bool:
        """Send the parts; False where the response is cut short.

        Raises:
            ResetConnectionError: the fault resets the connection.
        """
        if self.fault == Fault.STALL_BEFORE:
            await asyncio.sleep(self.settings.stall)
        sent = 0
        async for part in parts:
            await self._send(part)
            sent += 1
            if sent == HEAD_AND_FIRST:
                if self.fault == Fault.RESET_AFTER:
                    raise ResetConnectionError
                if self.fault == Fault.TRUNCATE:
                    return False
                if self.fault == Fault.STALL_AFTER:
                    await asyncio.sleep(self.settings.stall)
        return True

    async def _send(self, part: bytes) -> None:
        if self.fault != Fault.TRICKLE:
            await self.connection.send(part)
            return
        for place in range(len(part)):
            await self.connection.send(part[place : place + 1])
            await asyncio.sleep(self.settings.trickle)
