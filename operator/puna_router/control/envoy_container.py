"""Envoy in a container of its own: it ends on SIGTERM when its requests have ended."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Final

from puna_router.control.admin import Admin
from puna_router.control.binary import serve_arguments
from puna_router.control.child_process import ChildProcess
from puna_router.control.drain import drain
from puna_router.control.files import Layout, bootstrapped_socket

PREPARE_SECONDS: Final = 60.0
"""Longest wait for the control process to prepare the folder; then the container starts again."""
POLL_SECONDS: Final = 0.02


async def run_envoy(
    directory: Path, *, envoy: str, concurrency: int, drain_seconds: float, settle_seconds: float
) -> int:
    """Run Envoy beside a control process; on SIGTERM let requests end before it does."""
    layout = Layout(directory)
    await _prepared(layout)
    admin = Admin(bootstrapped_socket(layout))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    process = ChildProcess("envoy", serve_arguments(envoy, layout.bootstrap, concurrency))
    child = asyncio.create_task(process.run_once())
    ending = asyncio.create_task(stop.wait())
    await asyncio.wait({child, ending}, return_when=asyncio.FIRST_COMPLETED)
    if child.done():
        ending.cancel()
        return child.result()
    await drain(admin, seconds=drain_seconds, settle=settle_seconds)
    child.cancel()
    await asyncio.gather(child, return_exceptions=True)
    return 0


async def _prepared(layout: Layout) -> None:
    """Wait until the control process beside this one has written what Envoy starts with.

    Raises:
        OSError: it has not.
    """
    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            while not layout.bootstrap.exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise OSError(
            f"{layout.bootstrap} is not there after {PREPARE_SECONDS:.0f} s: does the control "
            "process run?"
        ) from None
