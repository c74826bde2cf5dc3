"""Simulated canaries: traffic drawn at random, the real judge and the real next step.

Times of answers are log-normal, as lengths of answers are. On top of that the mean of each side
wanders by `NOISE` from quarter minute to quarter minute, independently. Two routers count; on the
way one of them gets another Pod, and the Envoy of the other one starts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import exp, log, sqrt
from random import Random
from typing import Final

from puna.api.analysis import Analysis, Result
from puna.api.llmendpoint_status import Outcome, RevisionRole
from puna.api.rollout import Canary, CanaryStep, RolloutStrategy
from puna.endpoint.canary import is_overdue
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout import Rollout, next_step
from puna.endpoint.rollout_input import RolloutInput
from puna.endpoint.samples import Reading, plus
from puna_router.samples import RevisionSamples, Spread
from tests.factories import NOW, endpoint, revision

NOISE: Final = 0.2
BLOCK: Final = 15
"""Seconds after which means wander on."""
LOOK: Final = 5
"""Seconds between two looks, as the operator has them."""
SPREAD: Final = 0.6
"""Standard deviation of the logarithm of an answer's time."""
MEAN: Final = log(2000.0)
"""Of the stable revision's answers, in milliseconds."""
STEPS: Final = (
    CanaryStep(weight=10, hold_seconds=300),
    CanaryStep(weight=50, hold_seconds=300),
    CanaryStep(weight=100, hold_seconds=300),
)
STABLE: Final = revision(endpoint(), proven=True)
CANDIDATE: Final = revision(
    endpoint(model={"uri": "file:///srv/models/second.gguf"}), role=RevisionRole.CANDIDATE
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a revision answers."""

    failing: float = 0.005
    """Share of requests that fail."""
    slowness: float = 1.0
    """How many times as long its answers take as usual."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a canary."""

    outcome: str
    """Promoted, Failed or Paused."""
    weight: int
    """At the end."""
    seconds: float
    requests: int
    """That the canary had."""
    message: str


def binomial(random: Random, count: int, share: float) -> int:
    return sum(random.random() < share for _ in range(count))


def poisson(random: Random, mean: float) -> int:
    """Requests of a while, by their distances."""
    count, left = 0, mean
    while (left := left - random.expovariate(1.0)) > 0:
        count += 1
    return count


def times(random: Random, count: int, mean: float) -> Spread:
    """What log-normal times sum up to: mean and variance of a normal sample are independent."""
    if count == 0:
        return Spread()
    middle = random.gauss(mean, SPREAD / sqrt(count))
    freedom = (count - 1) / 2
    deviations = SPREAD**2 * 2 * random.gammavariate(freedom, 1.0) if freedom else 0.0
    return Spread(count=count, logs=count * middle, squares=deviations + count * middle * middle)


def answers(random: Random, count: int, how: Behaviour, wander: float) -> RevisionSamples:
    """What a router counts of some requests."""
    failed = binomial(random, count, how.failing)
    mean = MEAN + log(how.slowness) + wander
    return RevisionSamples(
        requests=count,
        failed=failed,
        duration=times(random, count - failed, mean),
        time_to_first_token=times(random, count - failed, mean - 2),
        generated_tokens=100 * count,
        generation_milliseconds=round(100 * count * exp(mean) / 100),
        token_time=times(random, count - failed, mean - log(100)),
    )


class Routers:
    """Two routers that count."""

    def __init__(self, random: Random, now: datetime) -> None:
        self._random = random
        self._pods = ["router-1", "router-2"]
        self._started = [now - timedelta(hours=1)] * 2
        self._counts: list[dict[str, RevisionSamples]] = [
            {STABLE.name: answers(random, 1000, Behaviour(), 0.0)} for _ in self._pods
        ]

    def count(self, what: Mapping[str, tuple[int, Behaviour, float]]) -> None:
        """Let requests come, half of them to each router."""
        for index, counts in enumerate(self._counts):
            for name, (number, how, wander) in what.items():
                share = number // 2 if index else number - number // 2
                if share:
                    fresh = answers(self._random, share, how, wander)
                    counts[name] = plus(counts.get(name, RevisionSamples()), fresh)

    def restart(self, index: int, now: datetime, *, pod: str | None = None) -> None:
        """Let an Envoy start again, in another Pod or the same one."""
        self._pods[index] = pod or self._pods[index]
        self._started[index], self._counts[index] = now, {}

    def readings(self) -> tuple[Reading, ...]:
        told = zip(self._pods, self._started, self._counts, strict=True)
        return tuple(Reading(pod, started, dict(counts)) for pod, started, counts in told)


def run(
    seed: int,
    candidate: Behaviour,
    *,
    per_second: float = 20.0,
    analysis: Analysis | None = None,
    steps: tuple[CanaryStep, ...] = STEPS,
) -> Ending:
    """Let one canary live until it has taken over, failed or been paused."""
    random, now = Random(seed), NOW
    canary = Canary(steps=steps, analysis=analysis or Analysis())
    routers = Routers(random, now)
    restarts = sorted(random.uniform(0, 900) for _ in range(2))
    stored: tuple[StoredRevision, ...] = (STABLE, CANDIDATE)
    rollout = _look(stored, canary, routers.readings(), now)
    requests, wander = 0, {STABLE.name: 0.0, CANDIDATE.name: 0.0}
    for tick in range(1, 100_000):
        weight = rollout.weight
        if tick % (BLOCK // LOOK) == 1:
            wander = {name: log(random.uniform(1 - NOISE, 1 + NOISE)) for name in wander}
        to_canary = poisson(random, per_second * LOOK * weight / 100)
        to_stable = poisson(random, per_second * LOOK * (100 - weight) / 100)
        requests += to_canary
        now += timedelta(seconds=LOOK)
        routers.count(
            {
                STABLE.name: (to_stable, Behaviour(), wander[STABLE.name]),
                CANDIDATE.name: (to_canary, candidate, wander[CANDIDATE.name]),
            }
        )
        while restarts and (now - NOW).total_seconds() > restarts[0]:
            restarts.pop(0)
            routers.restart(len(restarts), now, pod="router-3" if restarts else None)
        rollout = _look(rollout.revisions, canary, routers.readings(), now)
        outcome = _outcome(rollout, canary, now)
        if outcome is not None:
            rejected = rollout.rejected.verdict if rollout.rejected else None
            said = rejected or (rollout.verdict.message if rollout.verdict else "")
            seconds = (now - NOW).total_seconds()
            return Ending(outcome, rollout.weight, seconds, requests, said)
    raise AssertionError("it does not end")


def _look(
    stored: tuple[StoredRevision, ...],
    canary: Canary,
    readings: tuple[Reading, ...],
    now: datetime,
) -> Rollout:
    """One look of the operator, with the roles as they were stored by the one before."""
    wanted = next(item for item in stored if item.name == CANDIDATE.name)
    everything = frozenset({STABLE.process, CANDIDATE.process})
    value = RolloutInput(
        wanted=wanted,
        stored=tuple(replace(item) for item in stored),
        strategy=RolloutStrategy.CANARY,
        complete={CANDIDATE.process: True},
        live=everything,
        pods=everything,
        serving=everything,
        canary=canary,
        ready=True,
        readings=readings,
    )
    return next_step(value, now)


def _outcome(rollout: Rollout, canary: Canary, now: datetime) -> str | None:
    if rollout.stable.name == CANDIDATE.name:
        return "Promoted"
    if rollout.rejected is not None:
        assert rollout.rejected.outcome is Outcome.FAILED
        return "Failed"
    assert rollout.candidate is not None
    assert canary.analysis is not None
    late = is_overdue(
        rollout.candidate.position,
        canary.steps,
        deadline_seconds=canary.analysis.deadline_seconds,
        now=now,
    )
    passes = rollout.verdict is not None and rollout.verdict.result is Result.PASS
    return "Paused" if late and not passes else None
