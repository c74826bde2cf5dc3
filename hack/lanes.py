"""`make test`: the checks and all tiers of tests, side by side where they do not disturb.

Builds, which take minutes the first time, get the processor time that checks and tests of values
and of single processes leave. Tests with an API server follow the builds; whole clusters run alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = sys.executable
NOT_TESTS: Final = ("--ignore=tests/bench",)
VALUES: Final = ("tests/unit", "tests/golden")
"""Folders whose tests compare values: how fast the machine is does not matter to them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One command and what it is called."""

    name: str
    argv: tuple[str, ...]


def pytest_job(name: str, *arguments: str) -> Job:
    """A pytest run without a cache: two of them share this folder."""
    options = ("-q", "-p", "no:cacheprovider", "--durations=8", "--durations-min=3")
    return Job(name, (PYTHON, "-m", "pytest", *options, *NOT_TESTS, *arguments))


def stages() -> tuple[tuple[tuple[Job, ...], ...], ...]:
    """Stages one after the other; in each, lanes side by side; in each lane, job after job."""
    # Whoever waits for a test should not wait for a compiler.
    gently = ("nice", "-n", "19", PYTHON)
    ours = "not api and not e2e"
    return (
        (
            (
                Job("check", ("make", "check")),
                pytest_job("tests of values", "-m", ours, *VALUES),
                pytest_job(
                    "tests of processes",
                    *("-m", ours, *(f"--ignore={folder}" for folder in VALUES)),
                ),
            ),
            (
                Job("Kubernetes programs", (*gently, "-m", "puna_cli", "binaries")),
                Job("Helm and Prometheus' rules", (*gently, "-m", "tests.charts.go_tools")),
                pytest_job("tests with an API server", "-m", "api and not e2e"),
            ),
        ),
        ((pytest_job("tests with a whole cluster", "-m", "e2e"),),),
    )


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


def run_stage(lanes: tuple[tuple[Job, ...], ...]) -> list[Result]:
    """Run lanes side by side; a failed job does not hide what the next one has to say."""
    with ThreadPoolExecutor(len(lanes)) as threads:
        done = threads.map(lambda lane: [run(job) for job in lane], lanes)
    return [result for results in done for result in results]


def main() -> int:
    """Run everything; 0 if all of it is good."""
    began = time.monotonic()
    results = [result for stage in stages() for result in run_stage(stage)]
    print("\n== summary")
    for result in results:
        print(result.line)
    good = all(result.good for result in results)
    seconds = time.monotonic() - began
    print(f"{'all good' if good else 'NOT good'} after {seconds / 60:.1f} minutes", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
