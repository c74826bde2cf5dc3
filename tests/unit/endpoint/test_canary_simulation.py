"""Whole lives of simulated canaries; `make bench NAME=canary_judge` runs a thousand of each."""

from __future__ import annotations

from puna.api.analysis import Analysis
from tests.canary_runs import Behaviour, run

SEEDS = range(20)
IMPATIENT = Analysis(deadline_seconds=300)


def test_a_healthy_canary_takes_over_though_times_vary_and_routers_restart() -> None:
    assert [run(seed, Behaviour()).outcome for seed in SEEDS] == ["Promoted"] * len(SEEDS)


def test_a_slow_canary_is_gone_within_its_first_step() -> None:
    endings = [run(seed, Behaviour(slowness=1.5)) for seed in SEEDS]
    assert {ending.outcome for ending in endings} == {"Failed"}
    assert max(ending.seconds for ending in endings) < 600
    assert all("Percent allows 130" in ending.message for ending in endings)


def test_a_canary_with_two_points_more_failures_fails() -> None:
    endings = [run(seed, Behaviour(failing=0.025)) for seed in SEEDS]
    assert {ending.outcome for ending in endings} == {"Failed"}
    assert {ending.weight for ending in endings} == {0}


def test_too_few_requests_leave_a_canary_at_its_step_until_the_deadline() -> None:
    for failing in (0.0, 1.0):
        ending = run(1, Behaviour(failing=failing), per_second=0.1, analysis=IMPATIENT)
        assert (ending.outcome, ending.weight, ending.seconds) == ("Paused", 10, 600)
        assert ending.message.startswith("Errors: the canary has had ")
