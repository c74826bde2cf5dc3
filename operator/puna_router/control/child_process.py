"""A program as a child process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

RESTART_PAUSE: Final = (0.1, 5.0)
"""First and longest pause before it is started again, in seconds."""
STEADY: Final = 10.0
"""What ran as long, in seconds, is started again at once."""
TERMINATION_TIMEOUT: Final = 5.0

logger = logging.getLogger(__name__)


class ChildProcess:
    """One program, started anew whenever it ends before it was told to.

    Envoy asks the kernel to end it together with the *thread* that forked it, so `run` belongs on
    the event loop of the main thread.
    """

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self._name = name
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.starts = 0

    async def run(self) -> None:
        """Run until cancelled; then end the process."""
        pause = RESTART_PAUSE[0]
        try:
            while True:
                began = time.monotonic()
                self._process = await asyncio.create_subprocess_exec(*self._arguments)
                self.starts += 1
                status = await self._process.wait()
                if time.monotonic() - began > STEADY:
                    pause = RESTART_PAUSE[0]
                logger.error(f"{self._name} ended with {status}; started again in {pause:.1f} s")
                await asyncio.sleep(pause)
                pause = min(pause * 2, RESTART_PAUSE[1])
        finally:
            await self._terminate()

    async def run_once(self) -> int:
        """Run until it ends, and say its exit status; if cancelled, end the process."""
        try:
            self._process = await asyncio.create_subprocess_exec(*self._arguments)
            self.starts += 1
            return await self._process.wait()
        finally:
            await self._terminate()

    async def _terminate(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(TERMINATION_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
