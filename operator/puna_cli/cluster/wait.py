"""Wait for a fact while the processes that make it true live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from puna_cli.cluster.processes import require_alive, tail
from puna_cli.cluster.program import Record
from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths
from puna_cli.report import Step

T = TypeVar("T")

POLL_SECONDS = 0.05


def wait_until(
    fact: Callable[[], T | None],
    *,
    what: str,
    seconds: float,
    paths: ClusterPaths,
    records: Mapping[str, Record],
    suspects: Iterable[str],
    step: Step,
) -> T:
    """What `fact` gives as soon as it is neither None nor False.

    Raises:
        ProcessEndedError: one of the processes ended meanwhile.
        CommandError: the time is over; shows the last lines of the suspects' logs.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = fact()
        if answer is not None and answer is not False:
            return answer
        require_alive(paths, records)
        if time.monotonic() > deadline:
            logs = "\n".join(f"{paths.log(name)}:\n{tail(paths.log(name), 5)}" for name in suspects)
            raise CommandError(f"{what}: not within {seconds:.0f} s\n{logs}")
        step.note(what)
        time.sleep(POLL_SECONDS)
