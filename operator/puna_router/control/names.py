"""Names of external servers, looked up again and again."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Final

from puna_router.control.external import is_address

INTERVAL: Final = 5.0
"""Time between two look-ups of a name, in seconds."""
HOLD: Final = 60.0
"""How long an address stays after it was last given, in seconds: many a name has another one of its
addresses in every answer."""

logger = logging.getLogger(__name__)


class Names:
    """Addresses of names; the last ones stay while a name cannot be looked up."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._wanted: frozenset[str] = frozenset()
        self._more = asyncio.Event()
        self._found: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, dict[tuple[bool, str], float]] = {}
        self._failed: set[str] = set()

    def addresses(self, host: str) -> tuple[str, ...]:
        """Addresses of a host; none before the first answer."""
        return (host,) if is_address(host) else self._found.get(host, ())

    def follow(self, hosts: Iterable[str]) -> None:
        """Look these names up from now on, and no others."""
        wanted = frozenset(host for host in hosts if not is_address(host))
        if wanted - self._wanted:
            self._more.set()
        self._wanted = wanted

    async def run(self) -> None:
        """Look names up until cancelled; without names there is nothing to do."""
        while True:
            for gone in self._found.keys() - self._wanted:
                del self._found[gone], self._seen[gone]
            self._failed &= self._wanted
            await asyncio.gather(*(self._look_up(host) for host in self._wanted))
            try:
                async with asyncio.timeout(INTERVAL if self._wanted else None):
                    await self._more.wait()
            except TimeoutError:
                continue
            self._more.clear()

    async def _look_up(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            if host not in self._failed:
                logger.warning(f"{host} cannot be looked up: {error}")
            self._failed.add(host)
            return
        self._failed.discard(host)
        seen = self._seen.setdefault(host, {})
        for family, _, _, _, address in answers:
            # IPv4 first: what has both is reached by it from everywhere.
            seen[family != socket.AF_INET, str(address[0])] = loop.time()
        lasting = {key: at for key, at in seen.items() if at >= loop.time() - HOLD}
        self._seen[host] = lasting
        found = tuple(address for _, address in sorted(lasting))
        if found != self._found.get(host):
            self._found[host] = found
            self._changed()
