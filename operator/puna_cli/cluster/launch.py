"""Start programs, the API server first, and wait until it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from puna_cli.cluster.api import LocalApi
from puna_cli.cluster.prepare import prepare
from puna_cli.cluster.processes import (
    ProcessEndedError,
    find,
    forget,
    program_digest,
    running,
    start,
    stop,
)
from puna_cli.cluster.program import Program, Record, child_environment, in_stop_order, outdated
from puna_cli.cluster.state import ClusterState
from puna_cli.cluster.wait import wait_until
from puna_cli.errors import CommandError
from puna_cli.paths import ClusterPaths
from puna_cli.report import Step

READY_SECONDS = 90
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Launched:
    """An API server that answers."""

    state: ClusterState
    records: Mapping[str, Record]
    started: tuple[str, ...]
    """Names of what was not running (as it should) before."""


def launch_api_server(
    paths: ClusterPaths,
    settled: Callable[[], ClusterState],
    arranged: Callable[[ClusterState], tuple[Program, ...]],
    environment: Mapping[str, str],
    step: Step,
) -> Launched:
    """Start what is not running and wait until the API server is ready.

    `arranged` puts in place what the programs read beside certificates, and says what they are.
    Between the choice of a port and its use another process may take it: then `settled` chooses
    again.

    Raises:
        CommandError: it does not become ready; names the process at fault and its log.
    """
    for attempt in range(1, ATTEMPTS + 1):
        state = settled()
        prepare(paths, state, datetime.now(UTC))
        wanted = arranged(state)
        started = ensure_running(paths, wanted, environment)
        names = {program.name for program in wanted}
        records = {name: record for name, record in running(paths).items() if name in names}
        try:
            wait_ready(paths, state, {**records, **started}, step)
        except ProcessEndedError as error:
            if attempt == ATTEMPTS or "address already in use" not in str(error).lower():
                raise
            continue
        return Launched(state, {**records, **started}, tuple(started))
    raise AssertionError


def ensure_running(
    paths: ClusterPaths,
    programs: tuple[Program, ...],
    environment: Mapping[str, str],
) -> dict[str, Record]:
    """Start the programs that do not run as they should; the records of those started."""
    alive = running(paths)
    alive = {p.name: alive[p.name] for p in programs if p.name in alive}
    digests = {program.name: program_digest(program) for program in programs}
    stop_programs(paths, outdated(digests, alive), {p.name: p.stop_seconds for p in programs})
    alive = running(paths)
    base = child_environment(environment)
    return {
        program.name: start(paths, program, base)
        for program in programs
        if program.name not in alive
    }


def stop_programs(paths: ClusterPaths, names: list[str], seconds: Mapping[str, float]) -> None:
    """End programs in the right order and forget them."""
    alive = running(paths)
    for group in in_stop_order(names):
        found = [process for name in group if name in alive and (process := find(alive[name]))]
        stop(found, max((seconds.get(name, 10) for name in group), default=10))
        for name in group:
            forget(paths, name)


def wait_ready(
    paths: ClusterPaths, state: ClusterState, records: Mapping[str, Record], step: Step
) -> None:
    """Wait until the API server is ready.

    Raises:
        CommandError: it is not within 90 s, a process ended, or another server has its port.
    """
    with LocalApi(paths, state.server) as api:
        foreign = api.foreign_server()
        if foreign is not None:
            raise CommandError(f"{state.server} is another cluster's API server: {foreign}")
        wait_until(
            lambda: api.is_ready() or None,
            what="waiting for the API server",
            seconds=READY_SECONDS,
            paths=paths,
            records=records,
            suspects=("etcd", "apiserver"),
            step=step,
        )
