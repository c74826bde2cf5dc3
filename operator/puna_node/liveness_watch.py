"""Notice of a process's end that need not be a child of ours."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from typing import Final

import psutil

POLL_SECONDS: Final = 0.1


async def wait_until_gone(pid: int) -> None:
    """Return as soon as the process has ended; a child of ours is reaped."""
    if sys.platform == "linux":
        await _wait_pidfd(pid)
    elif sys.platform == "darwin":
        await _wait_kqueue(pid)
    else:
        await _poll(pid)
    _reap(pid)


async def _wait_pidfd(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # kernels before 5.3
        await _poll(pid)
        return
    await _readable(descriptor)


async def _wait_kqueue(pid: int) -> None:
    queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
    event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
        pid,
        filter=select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
        flags=select.KQ_EV_ADD | select.KQ_EV_ONESHOT,  # type: ignore[attr-defined,unused-ignore]
        fflags=select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
    )
    try:
        queue.control([event], 0)
    except ProcessLookupError:
        queue.close()
        return
    await _readable(os.dup(queue.fileno()))
    queue.close()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def is_readable() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, is_readable)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _poll(pid: int) -> None:
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110 - the system tells nobody
        await asyncio.sleep(POLL_SECONDS)


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
