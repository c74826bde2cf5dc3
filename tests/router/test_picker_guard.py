"""The guard before the picker: a Pod of which a picker has died stays as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from puna_router.control.child_process import TERMINATION_TIMEOUT
from puna_router.picker import guard
from tests.ports import free_port
from tests.router.program import eventually


class Guarded:
    """A guard and its picker."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self.log = folder / "guard.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "puna_router", "picker", "--directory", str(folder)),
                    *("--listen", "127.0.0.1", "--port", str(self._port), "--guarded"),
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self.lives)

    def lives(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/live", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def picker(self) -> psutil.Process:
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    started = Guarded(tmp_path)
    yield started
    started.stop()


def test_a_picker_that_dies_is_replaced_at_once(guarded: Guarded) -> None:
    for _ in range(2):
        before = guarded.picker()
        before.kill()
        before.wait(10)
        eventually(guarded.lives)
        assert guarded.picker().pid != before.pid
    assert guarded.process.poll() is None
    assert "ended with -9" in guarded.log.read_text()


def test_a_picker_that_hangs_is_replaced(guarded: Guarded) -> None:
    before = guarded.picker()
    before.suspend()
    longest = guard.START + (guard.STRIKES + 1) * (guard.PACE + guard.PATIENCE)
    eventually(lambda: not before.is_running(), longest + 20)
    eventually(guarded.lives)
    assert "does not get on" in guarded.log.read_text()


def test_it_ends_with_its_picker_when_told(guarded: Guarded) -> None:
    picker = guarded.picker()
    assert guarded.stop() == 0
    assert not picker.is_running()


def test_a_picker_that_hangs_is_not_left_behind(guarded: Guarded) -> None:
    picker = guarded.picker()
    picker.suspend()
    guarded.process.terminate()
    # After that its parent kills the guard, and then nobody is left to do it.
    guarded.process.wait(TERMINATION_TIMEOUT)
    assert not picker.is_running()


def test_a_picker_whose_guard_is_killed_ends_by_itself(guarded: Guarded) -> None:
    picker = guarded.picker()
    guarded.process.kill()
    guarded.process.wait(10)
    eventually(lambda: not picker.is_running())
