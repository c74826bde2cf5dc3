"""A kill at any byte never serves a bad file nor harms a good one."""

from __future__ import annotations

import random
import signal
import threading
import time

import pytest

from tests.fetch.program import STUBBORN, Program, Running
from tests.fetch.source_server import SourceServer, answer, serve

KILLS = 12


BUFFERED = 8192
"""Bytes that a killed program may not have written yet."""


def killed_after(
    program: Program, source: SourceServer, count: int, *, once_stored: bool = True
) -> None:
    """Run the program, and kill it when `count` bytes more have been sent, or have been stored."""
    before = stored_bytes(program)
    reached, dead = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        dead.wait(30)

    source.behaviours.append(serve(cut_after=count, then=wait))
    running = program.start(source.url())
    assert reached.wait(30)
    if once_stored:
        wait_for_bytes(program, before + count - BUFFERED)
    running.kill()
    dead.set()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_download_that_is_killed_again_and_again_ends_well(
    program: Program, source: SourceServer, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(KILLS):
        count = chance.randrange(1, len(source.content) // KILLS)
        killed_after(program, source, count, once_stored=chance.random() < 0.7)
        assert not program.is_in_place
    assert program.run(source.url()).code == 0
    assert program.is_in_place
    offsets = [asked.offset for asked in source.asked]
    assert offsets == sorted(offsets)
    assert offsets[-1] > 0


def test_a_kill_at_any_moment_leaves_nothing_or_the_right_file(
    program: Program, source: SourceServer
) -> None:
    source.always = serve(pace=0.002, piece=16 * 1024)
    chance = random.Random(3)
    for _ in range(KILLS):
        running = program.start(source.url())
        time.sleep(chance.uniform(0, 0.3))
        running.kill()
        if program.is_in_place:
            program.destination.unlink()
    assert program.run(source.url()).code == 0
    assert program.is_in_place


def test_a_kill_while_a_good_file_is_verified_leaves_it(
    program: Program, source: SourceServer
) -> None:
    program.destination.parent.mkdir(parents=True)
    program.destination.write_bytes(source.content)
    inode = program.destination.stat().st_ino
    for delay in (0.02, 0.05, 0.08, 0.12):
        running = program.start(source.url())
        time.sleep(delay)
        running.kill()
        assert program.is_in_place
    assert program.run(source.url()).code == 0
    assert program.destination.stat().st_ino == inode
    assert source.asked == []


def test_a_partial_that_lost_bytes_in_a_crash_is_downloaded_anew(
    program: Program, source: SourceServer
) -> None:
    killed_after(program, source, 300_000)
    size = program.partial.stat().st_size
    with program.partial.open("r+b") as stream:
        stream.seek(1000)
        stream.write(bytes(size - 1000))
    outcome = program.run(source.url())
    assert outcome.code == 0
    assert program.is_in_place
    assert "downloading it anew" in outcome.log


def test_a_stop_is_prompt_and_keeps_what_there_is(program: Program, source: SourceServer) -> None:
    released = threading.Event()

    def hold() -> None:
        released.wait(600)

    source.behaviours.append(serve(cut_after=300_000, then=hold))
    running = program.start(source.url(), *STUBBORN)
    wait_for_bytes(program, 200_000)
    stop(running)
    released.set()
    assert program.partial.stat().st_size >= 200_000
    assert program.run(source.url()).code == 0
    assert source.asked[1].offset >= 200_000


def test_a_stop_while_waiting_to_ask_again_is_prompt(
    program: Program, source: SourceServer
) -> None:
    source.always = answer(429, {"Retry-After": "1800"})
    running = program.start(source.url(), *STUBBORN)
    while not source.asked:
        time.sleep(0.02)
    stop(running)


def stop(running: Running) -> None:
    """Send SIGTERM, and wait for the end; it comes long before anything else would end it."""
    running.process.send_signal(signal.SIGTERM)
    outcome = running.finish()
    assert outcome.code == 143
    assert outcome.termination == ""


def stored_bytes(program: Program) -> int:
    # The program may remove the file at any moment, to begin anew.
    try:
        return program.partial.stat().st_size
    except FileNotFoundError:
        return 0


def wait_for_bytes(program: Program, count: int) -> None:
    deadline = time.monotonic() + 30
    while stored_bytes(program) < count:
        assert time.monotonic() < deadline, f"fewer than {count} bytes came"
        time.sleep(0.01)
