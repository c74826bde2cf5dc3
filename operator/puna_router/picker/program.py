"""The picker as a process: `python -m puna_router picker`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from puna_router.picker.config import CONFIG_FILE, SOCKET, STATE_SOCKET, PickerConfig
from puna_router.picker.follow import Follower
from puna_router.picker.guard import Guard
from puna_router.picker.pages import Page, live
from puna_router.picker.processor import Processor
from puna_router.picker.progress import Progress
from puna_router.picker.scheduler import Scheduler
from puna_router.picker.server import Calls, PageProtocol, unix_listener
from puna_router.picker.state import PickerState

PORT: Final = 9091
PACE: Final = 0.05
"""Time between two turns in which the file is looked at and waits are ended, in seconds."""
GARBAGE: Final = 50_000
"""New objects after which cycles are looked for."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT, and say the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m puna_router picker",
        description="Send requests only to free slots, and let the others wait in a fair queue.",
    )
    parser.add_argument("--directory", type=Path, required=True, help="folder shared with Envoy")
    parser.add_argument("--listen", default="0.0.0.0", help="address of the pages")  # noqa: S104
    parser.add_argument("--port", type=int, default=PORT, help="port of the pages")
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=0.0,
        help="longest time for which an Envoy that ends too is still served after SIGTERM",
    )
    parser.add_argument(
        "--guarded", action="store_true", help="start another picker when one dies or hangs"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if options.guarded:
        return Guard(partial(_run, options), options.directory / STATE_SOCKET).run()
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    picker = Picker(options.directory, os.getppid() if options.guarded else None)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(picker.run(options.listen, options.port, options.drain_seconds))
    return 0


class Picker:
    """The parts of a picker, put together."""

    def __init__(self, directory: Path, guard: int | None = None) -> None:
        """Serve in a folder; `guard` is the process without which nobody needs a picker."""
        self._directory = directory
        self._guard = guard
        self._stop = asyncio.Event()
        self._scheduler = Scheduler()
        self._calls = Calls(Processor(self._scheduler))
        self._progress = Progress(time.monotonic())
        self._follower = Follower(directory / CONFIG_FILE, self._configure)

    async def run(self, listen: str, port: int, drain_seconds: float) -> None:
        """Serve until SIGTERM or SIGINT; then, for a while, as long as Envoy is there."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._turn()
        pages = {"/live": self._live, "/state": self._state}
        servers = [
            await loop.create_unix_server(
                self._calls.protocol, sock=unix_listener(self._directory / SOCKET)
            ),
            await loop.create_unix_server(
                lambda: PageProtocol(pages), sock=unix_listener(self._directory / STATE_SOCKET)
            ),
            await loop.create_server(lambda: PageProtocol(pages), listen, port),
        ]
        # What is here by now stays, and requests leave no cycles: collections have little to find.
        gc.freeze()
        gc.set_threshold(GARBAGE)
        async with asyncio.TaskGroup() as group:
            turns = group.create_task(self._turns())
            await self._stop.wait()
            await self._drain(drain_seconds)
            turns.cancel()
        for server in servers:
            server.close()
        self._calls.end()

    async def _turns(self) -> None:
        while True:
            await asyncio.sleep(PACE)
            self._turn()

    def _turn(self) -> None:
        if self._guard is not None and os.getppid() != self._guard:
            self._stop.set()
        self._follower.look()
        now = time.monotonic()
        self._calls.processor.expire(now)
        self._calls.flush()
        self._progress.beat(now, stuck=self._scheduler.is_stuck())

    async def _drain(self, seconds: float) -> None:
        """Serve on until the router's Envoy, which is ending too, has let its requests end."""
        deadline = time.monotonic() + seconds
        while (  # noqa: ASYNC110 - another process closes them
            self._calls.connections and not self._problem() and time.monotonic() < deadline
        ):
            await asyncio.sleep(PACE)

    def _configure(self, config: PickerConfig) -> None:
        self._calls.processor.configure(config, time.monotonic())
        self._calls.flush()

    def _problem(self) -> str | None:
        return self._progress.problem(time.monotonic())

    def _live(self) -> Page:
        return live(self._problem())

    def _state(self) -> Page:
        follower = self._follower
        state = PickerState(self._scheduler.state(), follower.problem, follower.version)
        return Page(200, state.to_json())
