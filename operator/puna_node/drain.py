"""Waiting until a llama-server has nothing in flight.

SIGTERM cuts its streams, so the agent waits first. The router stops sending as soon as the Pod has
a deletionTimestamp; a request may still be on its way then, so idle means idle for a while.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import aiohttp

from puna_node.launch import Launch, flag_value

POLL_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 0.5
"""How long no slot may be busy before the server counts as idle."""
REQUEST_SECONDS: Final = 2.0
UNANSWERED: Final = 20
"""Polls in a row without an answer after which the server counts as gone."""


async def wait_until_idle(launch: Launch, address: str) -> None:
    """Return when `/slots` has shown nothing being processed for a while, or nobody answers."""
    port = flag_value(launch.argv, "--port")
    if port is None:
        return
    url = f"http://{address}:{port}/slots"
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    loop = asyncio.get_running_loop()
    idle_since: float | None = None
    unanswered = 0
    async with aiohttp.ClientSession(
        headers=_authorization(launch),
        timeout=timeout,
        connector=aiohttp.TCPConnector(force_close=True),
    ) as session:
        while unanswered < UNANSWERED:
            busy = await _is_busy(session, url)
            unanswered = unanswered + 1 if busy is None else 0
            if busy is False:
                idle_since = idle_since if idle_since is not None else loop.time()
                if loop.time() - idle_since >= IDLE_SECONDS:
                    return
            else:
                idle_since = None
            await asyncio.sleep(POLL_SECONDS)


def is_busy(slots: str) -> bool:
    """Whether an answer of `/slots` shows a request being processed."""
    return any(slot.get("is_processing") for slot in json.loads(slots))


async def _is_busy(session: aiohttp.ClientSession, url: str) -> bool | None:
    """Whether the server is busy; None without a usable answer (loading, `--no-slots`, hanging)."""
    try:
        async with session.get(url) as response:
            if response.status != 200:  # noqa: PLR2004
                return None
            return is_busy(await response.text())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


def _authorization(launch: Launch) -> dict[str, str]:
    path = flag_value(launch.argv, "--api-key-file")
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    except OSError:
        return {}
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return {"Authorization": f"Bearer {keys[0]}"} if keys else {}
