"""What the agent knows about a Pod that runs here: values, stored in the Pod's state file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from puna_node.backoff import restarts_in_a_row, retry_delay
from puna_node.probe import Probing

REASON_COMPLETED: Final = "Completed"
REASON_ERROR: Final = "Error"
SIGNAL_BASE: Final = 128
"""Exit code of a process that a signal ended: this plus the signal's number."""


@dataclass(frozen=True, slots=True)
class Running:
    """A live process of a container."""

    attempt: int
    pid: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt of a container ended."""

    attempt: int
    code: int
    signal: int
    """0: ended by itself."""
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """Something that could not be done yet: why, and when to try again."""

    reason: str
    message: str
    tries: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """A running container that is being stopped."""

    since: datetime
    grace: float
    """Seconds from `since` to SIGKILL."""
    reason: str
    drain: bool = False
    drained: bool = False
    terminated: bool = False
    """SIGTERM was sent."""
    killed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """One container over its attempts."""

    attempts: int = 0
    """Starts so far; the number of the latest attempt."""
    running: Running | None = None
    exit: Exit | None = None
    """How the latest ended attempt ended."""
    in_a_row: int = 0
    """Restarts that count for the back-off."""
    hold: Hold | None = None
    stop: Stop | None = None
    probes: Mapping[str, Probing] = field(default_factory=dict)
    begun: bool = False
    """The latest attempt is being started."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """The Pod is to go."""

    since: datetime
    grace: float
    forced: bool = False
    """The object is gone already: no status to write, nothing to drain."""


@dataclass(frozen=True, slots=True)
class Doom:
    """The Pod has failed as a whole."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One Pod."""

    address: str
    started_at: datetime
    containers: Mapping[str, ContainerFacts] = field(default_factory=dict)
    prepared: bool = False
    hold: Hold | None = None
    """Why volumes or references could not be prepared."""
    deletion: Deletion | None = None
    doom: Doom | None = None
    outcome: str | None = None
    """Succeeded or Failed once reported: a Pod never leaves it."""
    refused: str | None = None

    def container(self, name: str) -> ContainerFacts:
        """Facts of a container, empty before its first start."""
        return self.containers.get(name) or ContainerFacts()

    def with_container(self, name: str, container: ContainerFacts) -> PodFacts:
        """These facts with those of one container replaced."""
        return replace(self, containers={**self.containers, name: container})


def durable(facts: PodFacts) -> PodFacts:
    """What the state file keeps: of probes only their verdicts, which change rarely.

    A Pod that was Ready stays so over a restart of the agent; its probes are due at once.
    """
    containers = {
        name: replace(state, probes=_verdicts(state)) for name, state in facts.containers.items()
    }
    return replace(facts, containers=containers)


def _verdicts(state: ContainerFacts) -> dict[str, Probing]:
    if state.running is None:
        return {}
    began = state.running.started_at
    return {
        kind: Probing(since=began, next_at=began, regular_at=began, passed=probing.passed)
        for kind, probing in state.probes.items()
        if probing.passed is not None
    }


def held(previous: Hold | None, reason: str, message: str, now: datetime) -> Hold:
    """A hold after one more try in vain."""
    tries = previous.tries + 1 if previous is not None and previous.reason == reason else 1
    return Hold(reason, message, tries, now + retry_delay(tries))


def begun(container: ContainerFacts) -> ContainerFacts:
    """A container whose next attempt is being started."""
    restarts = container.in_a_row + 1 if container.exit is not None else 0
    return replace(
        container, attempts=container.attempts + 1, in_a_row=restarts, begun=True, probes={}
    )


def started(container: ContainerFacts, running: Running) -> ContainerFacts:
    """A container whose latest attempt runs."""
    return replace(container, running=running, hold=None, stop=None, begun=False)


def not_started(
    container: ContainerFacts, reason: str, message: str, now: datetime
) -> ContainerFacts:
    """A container whose latest attempt could not be started; the attempt does not count."""
    restarts = max(container.in_a_row - 1, 0)
    return replace(
        container,
        attempts=container.attempts - 1,
        in_a_row=restarts,
        begun=False,
        hold=held(container.hold, reason, message, now),
    )


def ended(container: ContainerFacts, how: Exit) -> ContainerFacts:
    """A container whose latest attempt has ended."""
    ran = how.finished_at - how.started_at
    return replace(
        container,
        running=None,
        exit=how,
        stop=None,
        begun=False,
        probes={},
        in_a_row=restarts_in_a_row(container.in_a_row, ran),
    )
