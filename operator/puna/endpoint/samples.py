"""Samples: what happened to a revision since its step began, from what routers have counted.

Routers count from the start of their Envoy. What they had counted when a step began is stored with
it, once; what happened since is a function of that and of what they say now. So it is the same
after a restart of the operator, however many routers there are and whatever looks were missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Final

from pydantic import Field, ValidationError

from puna.api.resource import Model
from puna_router.samples import RevisionSamples, Spread

SAME_START: Final = timedelta(seconds=3)
"""Two looks at one Envoy may tell times of its start that differ by this much: whole seconds, and
the way."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one router has counted."""

    router: str
    """Name of its Pod."""
    started: datetime
    """When it began to count, by the operator's clock."""
    revisions: Mapping[str, RevisionSamples]
    """By name; of a revision that is absent nothing was counted since then."""
    start: str | None = None
    """What names the start of its Envoy."""
    at: datetime | None = None
    """When Prometheus heard this; None: it is the router's present answer."""

    def is_before(self, moment: datetime) -> bool:
        """Return whether it says nothing about what happened since a moment."""
        return self.at is not None and self.at < moment

    def of(self, revision: str) -> RevisionSamples:
        """Return what was counted of a revision."""
        return self.revisions.get(revision, RevisionSamples())


class RouterBaseline(Model):
    """What one router had counted when a step began."""

    started: datetime
    start: str | None = None
    revisions: dict[str, RevisionSamples]

    def is_of_another_start(self, reading: Reading) -> bool:
        """Return whether Envoy has started again since, and so has counted from zero.

        Where a name of its start is missing, time has to tell: a start that is earlier than it was
        means that a clock was set back.
        """
        if self.start is not None and reading.start is not None:
            return self.start != reading.start
        return reading.started - self.started > SAME_START


class Baseline(Model):
    """What all routers had counted when a step began."""

    routers: dict[str, RouterBaseline] = Field(default_factory=dict)
    """By Pod."""
    reference: RevisionSamples | None = None
    """What happened to the stable revision before: of a step that leaves it nothing, all that
    there is to compare with."""

    def to_json(self) -> str:
        """Return it as short text."""
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)

    def joined(
        self, readings: Iterable[Reading], revisions: Iterable[str], since: datetime
    ) -> Baseline:
        """Return the baseline with routers that were not heard of when the step began at `since`.

        Of one that started later, everything has happened since then.
        """
        names = tuple(revisions)
        late = {
            reading.router: RouterBaseline(
                started=reading.started,
                start=reading.start,
                revisions={name: reading.of(name) for name in names},
            )
            for reading in readings
            if reading.router not in self.routers
            and not _is_younger(reading, since)
            and not reading.is_before(since)
        }
        if not late:
            return self
        return self.model_copy(update={"routers": dict(sorted((self.routers | late).items()))})

    def window(
        self, readings: Iterable[Reading], revision: str, since: datetime
    ) -> RevisionSamples:
        """Return what happened to a revision since the step began, as far as it is known."""
        parts = (self._part(reading, revision, since) for reading in readings)
        return reduce(plus, parts, RevisionSamples())

    def _part(self, reading: Reading, revision: str, since: datetime) -> RevisionSamples:
        """Return what one router tells."""
        if reading.is_before(since):
            return RevisionSamples()
        before, now = self.routers.get(reading.router), reading.of(revision)
        if before is None:
            return now if _is_younger(reading, since) else RevisionSamples()
        if before.is_of_another_start(reading):
            return now
        then = before.revisions.get(revision, RevisionSamples())
        has_begun_anew = now.requests < then.requests or now.duration.count < then.duration.count
        return now if has_begun_anew else minus(now, then)


def read_baseline(text: str | None) -> Baseline | None:
    """Return a baseline as it was stored; one that cannot be read is taken anew."""
    if text is None:
        return None
    try:
        return Baseline.model_validate_json(text)
    except ValidationError:
        return None


def begin(
    readings: Iterable[Reading],
    revisions: Iterable[str],
    *,
    since: datetime,
    reference: RevisionSamples | None,
) -> Baseline:
    """Return the baseline of a step that begins."""
    return Baseline(reference=reference).joined(readings, revisions, since)


def plus(one: RevisionSamples, other: RevisionSamples) -> RevisionSamples:
    """Return the sum of what two routers counted."""
    return _combined(one, other, 1)


def minus(now: RevisionSamples, then: RevisionSamples) -> RevisionSamples:
    """Return what was counted between two looks."""
    return _combined(now, then, -1)


def _combined(one: RevisionSamples, other: RevisionSamples, sign: int) -> RevisionSamples:
    return RevisionSamples(
        requests=one.requests + sign * other.requests,
        failed=one.failed + sign * other.failed,
        duration=_spread(one.duration, other.duration, sign),
        time_to_first_token=_spread(one.time_to_first_token, other.time_to_first_token, sign),
        generated_tokens=one.generated_tokens + sign * other.generated_tokens,
        generation_milliseconds=one.generation_milliseconds + sign * other.generation_milliseconds,
        token_time=_spread(one.token_time, other.token_time, sign),
    )


def _spread(one: Spread, other: Spread, sign: int) -> Spread:
    return Spread(
        count=one.count + sign * other.count,
        logs=one.logs + sign * other.logs,
        squares=one.squares + sign * other.squares,
    )


def _is_younger(reading: Reading, since: datetime) -> bool:
    return reading.started >= since - SAME_START
