"""Fetches of the same file on one node or one shared volume."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import psutil

from puna_fetch.config import FetchReason, FetchStage
from tests.fetch.program import Program, Running
from tests.fetch.source_server import SourceServer, serve


def test_of_several_fetches_one_downloads_and_the_others_wait(
    program: Program, source: SourceServer
) -> None:
    come = threading.Event()
    source.always = serve(pace=0.25, first=lambda: come.wait(30))
    running = [program.start(source.url()) for _ in range(4)]
    lock = program.destination.with_name("model.gguf.lock")
    while not all(has_open(one, lock) for one in running):
        time.sleep(0.01)
    come.set()
    outcomes = [one.finish() for one in running]
    assert [outcome.code for outcome in outcomes] == [0] * 4
    assert program.is_in_place
    assert len(source.asked) == 1
    waited = [outcome for outcome in outcomes if FetchStage.WAITING in outcome.stages]
    assert len(waited) == 3
    assert {outcome.progress[-1].completed_bytes for outcome in outcomes} == {len(source.content)}


def has_open(running: Running, path: Path) -> bool:
    """Whether a program has a file open, as it has before it waits for its lock."""
    assert running.process.poll() is None
    return path in {Path(file.path) for file in psutil.Process(running.process.pid).open_files()}


def test_the_lock_of_a_dead_holder_vanishes(program: Program, source: SourceServer) -> None:
    reached, released = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        released.wait(30)

    source.behaviours.append(serve(cut_after=100_000, then=hold))
    holder = program.start(source.url())
    assert reached.wait(30)
    while not program.partial.exists() or program.partial.stat().st_size < 50_000:
        time.sleep(0.01)
    heir = program.start(source.url())
    holder.kill()
    released.set()
    assert heir.finish().code == 0
    assert program.is_in_place
    assert source.asked[-1].offset > 0


def test_partials_that_nobody_completes_are_dropped(program: Program, source: SourceServer) -> None:
    namespace = program.destination.parent.parent
    old = time.time() - 25 * 3600

    def leave(digest: str, modified: float) -> Path:
        folder = namespace / digest
        folder.mkdir(parents=True)
        partial = folder / f"other.gguf.{digest[:12]}.part"
        partial.write_bytes(b"GGUF")
        partial.with_name(partial.name + ".json").write_text("{}")
        os.utime(partial, (modified, modified))
        return partial

    abandoned, recent, held = (
        leave("1" * 64, old),
        leave("2" * 64, time.time()),
        leave("3" * 64, old),
    )
    elsewhere = leave("no-digest", old)
    with held.with_name("other.gguf.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        outcome = program.run(source.url())
    assert outcome.code == 0
    assert str(abandoned) in outcome.log
    assert {path.name for path in abandoned.parent.iterdir()} == {"other.gguf.lock"}
    assert all(path.exists() for path in (recent, held, elsewhere))


def test_a_holder_that_stands_still_is_named(program: Program, source: SourceServer) -> None:
    program.destination.parent.mkdir(parents=True)
    with program.destination.with_name("model.gguf.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        outcome = program.run(source.url(), "--lock-timeout=1")
    assert outcome.reason == FetchReason.CACHE_UNUSABLE
    assert "stands still" in outcome.failure.message
