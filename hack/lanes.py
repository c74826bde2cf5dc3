"""`make test`: the checks and all tiers of tests, side by side where they do not disturb.

One lane checks the code and runs what needs no cluster; the other builds the Kubernetes programs
and runs the tests against a real API server. Whole clusters come last, alone: they measure time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = sys.executable
NOT_TESTS: Final = ("--ignore=tests/bench",)


@dataclass(frozen=True, slots=True)
class Job:
    """One command and what it is called."""

    name: str
    argv: tuple[str, ...]


def pytest_job(name: str, *arguments: str) -> Job:
    """A pytest run without a cache: two of them share this folder."""
    options = ("-q", "-p", "no:cacheprovider", "--durations=8", "--durations-min=3")
    return Job(name, (PYTHON, "-m", "pytest", *options, *NOT_TESTS, *arguments))


def lanes() -> tuple[tuple[Job, ...], ...]:
    """What runs side by side: each lane one job after the other."""
    helm = "from tests.charts.helm import helm_binary; print(helm_binary())"
    return (
        (
            Job("check", ("make", "check")),
            pytest_job("tests without a cluster", "-m", "not api and not e2e"),
        ),
        (
            Job("Kubernetes programs", (PYTHON, "-m", "puna_cli", "binaries")),
            Job("Helm", (PYTHON, "-c", helm)),
            pytest_job("tests with an API server", "-m", "api and not e2e"),
        ),
    )


def alone() -> tuple[Job, ...]:
    """What runs after the lanes, with the machine to itself."""
    return (pytest_job("tests with a whole cluster", "-m", "e2e"),)


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended."""

    good: bool
    line: str
    """One line: name, time, and the last line of the output."""


def run(job: Job) -> Result:
    """Run one job; its output is shown when it ends, so that lanes do not mix."""
    began = time.monotonic()
    print(f"== {job.name}: started", flush=True)
    done = subprocess.run(
        job.argv,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    good = done.returncode == 0
    seconds = time.monotonic() - began
    print(f"== {job.name}: output\n{done.stdout}", flush=True)
    closing = done.stdout.strip().splitlines()[-1:] or [""]
    line = f"{'ok    ' if good else 'FAILED'} {job.name} ({seconds:.0f} s): {closing[0]}"
    print(f"== {line}", flush=True)
    return Result(good, line)


def main() -> int:
    """Run everything; 0 if all of it is good."""
    began = time.monotonic()
    results: list[Result] = []

    def work(lane: tuple[Job, ...]) -> None:
        # A failed job does not hide what the next one has to say.
        results.extend(run(job) for job in lane)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.extend(run(job) for job in alone())
    print("\n== summary")
    for result in results:
        print(result.line)
    jobs = sum(len(lane) for lane in lanes()) + len(alone())
    good = len(results) == jobs and all(result.good for result in results)
    seconds = time.monotonic() - began
    print(f"{'all good' if good else 'NOT good'} after {seconds / 60:.1f} minutes", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
