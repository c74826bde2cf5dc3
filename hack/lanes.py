"""`make test`: the checks and all tiers of tests, side by side where they do not disturb.

Builds, which take minutes the first time, get the processor time that checks and tests of values
and of single processes leave. So do the libraries of the trainer and its tests. Tests with an API
server follow the builds; whole clusters, in which the trainer works too, run alone in the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = sys.executable
NOT_TESTS: Final = ("--ignore=tests/bench",)
VALUES: Final = ("tests/unit", "tests/golden")
"""Folders whose tests compare values: how fast the machine is does not matter to them."""
TRAINER: Final = ("tests/trainer", "tests/unit/trainer")
"""Folders whose tests need the libraries that training needs."""
MODESTLY: Final = ("nice", "-n", "19")


@dataclass(frozen=True, slots=True)
class Job:
    """One command, what it is called, and the names of the jobs that end before it begins."""

    name: str
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()


def pytest_job(name: str, *arguments: str) -> Job:
    """A pytest run without a cache: two of them share this folder."""
    options = ("-q", "-p", "no:cacheprovider", "--durations=8", "--durations-min=3")
    return Job(name, (PYTHON, "-m", "pytest", *options, *NOT_TESTS, *arguments))


def ignoring(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Options that leave folders out."""
    return tuple(f"--ignore={folder}" for folder in folders)


def modest(job: Job) -> Job:
    """The same with what processor time others leave: no test should wait for a compiler."""
    return replace(job, argv=(*MODESTLY, *job.argv))


def jobs() -> tuple[Job, ...]:
    """All jobs; how they end does not matter to those that come after them."""
    programs = Job("Kubernetes programs", (PYTHON, "-m", "puna_cli", "binaries"))
    tools = Job("Helm, Prometheus, an S3 server", (PYTHON, "-m", "tests.charts.go_tools"))
    ours = "not api and not e2e"
    values = pytest_job("tests of values", "-m", ours, *ignoring(TRAINER), *VALUES)
    processes = pytest_job("tests of processes", "-m", ours, *ignoring((*VALUES, *TRAINER)))
    api = pytest_job("tests with an API server", "-m", "api and not e2e", *ignoring(TRAINER))
    clusters = pytest_job("tests with a whole cluster", "-m", "e2e", *ignoring(TRAINER))
    training = Job("types of the trainer", ("make", "check-training"))
    trainer = pytest_job("tests of the trainer", *TRAINER)
    return (
        Job("check", ("make", "check")),
        replace(values, after=("check",)),
        replace(processes, after=(values.name,)),
        modest(programs),
        modest(replace(tools, after=(programs.name,))),
        replace(api, after=(tools.name,)),
        modest(training),
        modest(replace(trainer, after=(training.name, tools.name))),
        replace(clusters, after=(processes.name, api.name, trainer.name)),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """How a job ended."""

    good: bool
    line: str
    """One line: name, time, and the last line of the output."""


def run(job: Job) -> Result:
    """Run one job; its output is shown when it ends, so that jobs do not mix."""
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


def run_all(wanted: Iterable[Job]) -> Mapping[str, Result]:
    """Run each job once those before it have ended; a failed one hides none of the others."""
    by_name = {job.name: job for job in wanted}
    order = TopologicalSorter({job.name: job.after for job in by_name.values()})
    order.prepare()
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(len(by_name)) as threads:
        running: dict[Future[Result], str] = {}
        while order.is_active():
            running |= {threads.submit(run, by_name[name]): name for name in order.get_ready()}
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(ended)
                results[name] = ended.result()
                order.done(name)
    return results


def main() -> int:
    """Run everything; 0 if all of it is good."""
    began = time.monotonic()
    results = run_all(jobs())
    print("\n== summary")
    for result in results.values():
        print(result.line)
    good = all(result.good for result in results.values())
    seconds = time.monotonic() - began
    print(f"{'all good' if good else 'NOT good'} after {seconds / 60:.1f} minutes", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
