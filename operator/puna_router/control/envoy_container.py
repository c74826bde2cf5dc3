"""Envoy in a container of its own: it ends on SIGTERM when its requests have ended."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from puna_router.control.admin import Admin
from puna_router.control.drain import drain
from puna_router.control.envoy_process import EnvoyProcess
from puna_router.control.files import Layout, bootstrapped_socket


async def run_envoy(
    directory: Path, *, envoy: str, concurrency: int, drain_seconds: float, settle_seconds: float
) -> int:
    """Run Envoy beside a control process; on SIGTERM let requests end before it does."""
    layout = Layout(directory)
    admin = Admin(bootstrapped_socket(layout))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    child = asyncio.create_task(EnvoyProcess(envoy, layout.bootstrap, concurrency).run_once())
    ending = asyncio.create_task(stop.wait())
    await asyncio.wait({child, ending}, return_when=asyncio.FIRST_COMPLETED)
    if child.done():
        ending.cancel()
        return child.result()
    await drain(admin, seconds=drain_seconds, settle=settle_seconds)
    child.cancel()
    await asyncio.gather(child, return_exceptions=True)
    return 0
