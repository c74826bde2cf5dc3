"""Waiting for facts that have no event of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(fact: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as a fact holds; fail the test after some seconds."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 - the facts are plain values
            await asyncio.sleep(0.005)
