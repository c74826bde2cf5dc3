"""When a probe runs and what its results mean. Pure.

Beside the regular probes (`initialDelaySeconds`, then every `periodSeconds`) there are early ones
while the container has not yet passed: at once, then at gaps of a twentieth of the time that has
gone by, never more often than every 50 ms. An early probe that succeeds counts, as it would have
at any phase of the period; one that fails counts for nothing, so a container has exactly the time
that its `failureThreshold` gives it. Early probes are left out where `successThreshold` is above
one (there the distance of successes is the point). The first liveness probe without an
`initialDelaySeconds` comes after a period, not at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from puna_node.manifest import Manifest

STARTUP: Final = "startup"
READINESS: Final = "readiness"
LIVENESS: Final = "liveness"
PROBE_FIELDS: Final = {
    STARTUP: "startupProbe",
    READINESS: "readinessProbe",
    LIVENESS: "livenessProbe",
}
EARLIEST_GAP: Final = timedelta(milliseconds=50)
EARLY_FRACTION: Final = 0.05


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """Numbers of a probe with the API's defaults."""

    initial_delay: timedelta
    period: timedelta
    timeout: timedelta
    success_threshold: int
    failure_threshold: int
    early: bool
    patient: bool
    """The first probe waits for a period: nothing that has just started is to be ended."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Where one probe of one running container stands."""

    since: datetime
    next_at: datetime
    regular_at: datetime
    """From then on a failure counts."""
    passed: bool | None = None
    """None: no verdict yet."""
    successes: int = 0
    failures: int = 0


def probe_spec(kind: str, probe: Manifest) -> ProbeSpec:
    """Numbers of a container's probe."""
    success_threshold = int(probe.get("successThreshold") or 1)
    return ProbeSpec(
        initial_delay=timedelta(seconds=float(probe.get("initialDelaySeconds") or 0)),
        period=timedelta(seconds=float(probe.get("periodSeconds") or 10)),
        timeout=timedelta(seconds=float(probe.get("timeoutSeconds") or 1)),
        success_threshold=success_threshold,
        failure_threshold=int(probe.get("failureThreshold") or 3),
        early=kind != LIVENESS and success_threshold == 1,
        patient=kind == LIVENESS and not probe.get("initialDelaySeconds"),
    )


def begin(spec: ProbeSpec, started_at: datetime, now: datetime) -> Probing:
    """A probe of a container that started then, whose gate opened now."""
    first = max(now, started_at + spec.initial_delay)
    if spec.patient:
        first += spec.period
    regular = first if not spec.early else first + spec.period
    return Probing(since=first, next_at=first, regular_at=regular)


def observe(probing: Probing, spec: ProbeSpec, *, success: bool, now: datetime) -> Probing:
    """State after a result."""
    counted = now >= probing.regular_at
    regular_at = max(probing.regular_at, now) + spec.period if counted else probing.regular_at
    if success:
        successes = probing.successes + 1
        passed = True if successes >= spec.success_threshold else probing.passed
        changed = replace(probing, successes=successes, failures=0, passed=passed)
    elif counted:
        failures = probing.failures + 1
        passed = False if failures >= spec.failure_threshold else probing.passed
        changed = replace(probing, successes=0, failures=failures, passed=passed)
    else:
        changed = probing
    if changed.passed:
        # After the first success the rhythm starts anew, a full period later.
        next_at = now + spec.period
        return replace(changed, regular_at=next_at, next_at=next_at)
    next_at = regular_at
    if spec.early and changed.passed is None:
        next_at = min(regular_at, now + max(EARLIEST_GAP, (now - probing.since) * EARLY_FRACTION))
    return replace(changed, regular_at=regular_at, next_at=next_at)
