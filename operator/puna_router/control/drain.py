"""Graceful end of one Envoy."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from puna_router.control.admin import Admin, AdminError
from puna_router.control.listener import LISTENER

PACE: Final = 0.1
"""Time between two looks at what is under way, in seconds."""

_ACTIVE: Final = f"http.{LISTENER}.downstream_rq_active"

logger = logging.getLogger(__name__)


async def announce(admin: Admin) -> None:
    """Have every answer from now on end its connection, so that clients go to another router."""
    await _tell(admin, "/healthcheck/fail")


async def resume(admin: Admin) -> None:
    """Take an announcement back."""
    await _tell(admin, "/healthcheck/ok")


async def drain(admin: Admin, *, seconds: float, settle: float) -> bool:
    """Let requests end. Say whether all did.

    New connections are still taken for `settle` seconds, because those who send here learn of the
    end a little later; then the listener closes. The whole takes `seconds` at most.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    await announce(admin)
    await asyncio.sleep(min(settle, seconds))
    await _tell(admin, "/drain_listeners")
    while (under_way := await _under_way(admin)) > 0:
        if asyncio.get_running_loop().time() >= deadline:
            logger.warning(f"{under_way} requests are cut off after {seconds:.0f} s")
            return False
        await asyncio.sleep(PACE)
    return True


async def wait_until_gone(admin: Admin, seconds: float) -> None:
    """Wait until Envoy has ended, for `seconds` at most."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        try:
            await admin.get("/server_info")
        except AdminError:
            return
        await asyncio.sleep(PACE)


async def _under_way(admin: Admin) -> int:
    try:
        return int((await admin.stats(f"^{_ACTIVE}$"))[_ACTIVE])
    except (AdminError, KeyError):
        return 0


async def _tell(admin: Admin, path: str) -> None:
    try:
        await admin.post(path)
    except AdminError as error:
        logger.info(f"Envoy is not running: {error}")
