from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from puna_node.probe import LIVENESS, READINESS, STARTUP, begin, observe, probe_spec
from tests.unit.node.pods import NOW, after

SPEC = probe_spec(STARTUP, {"periodSeconds": 2, "failureThreshold": 3})


def test_the_defaults_are_those_of_the_api() -> None:
    spec = probe_spec(LIVENESS, {})
    assert (spec.period, spec.timeout, spec.failure_threshold, spec.success_threshold) == (
        timedelta(seconds=10),
        timedelta(seconds=1),
        3,
        1,
    )
    assert not spec.early


def test_a_startup_probe_is_tried_at_once_and_again_soon() -> None:
    probing = begin(SPEC, NOW, NOW)
    assert probing.next_at == NOW
    probing = observe(probing, SPEC, success=False, now=NOW)
    assert probing.next_at == after(0.05)
    assert probing.failures == 0
    probing = observe(probing, SPEC, success=True, now=after(0.05))
    assert probing.passed


def test_the_initial_delay_is_kept() -> None:
    spec = probe_spec(READINESS, {"initialDelaySeconds": 5})
    assert begin(spec, NOW, after(1)).next_at == after(5)
    assert begin(spec, NOW, after(7)).next_at == after(7)


def test_early_failures_do_not_count_against_the_threshold() -> None:
    """A kubelet would give up at 4 s (probes at 0, 2, 4); this one never gives up earlier."""
    probing = begin(SPEC, NOW, NOW)
    while probing.passed is None:
        at = probing.next_at
        probing = observe(probing, SPEC, success=False, now=at)
    assert at >= after(4)
    assert at <= after(8)
    assert probing.failures == 3


def test_liveness_keeps_to_its_period() -> None:
    spec = probe_spec(LIVENESS, {"periodSeconds": 5, "failureThreshold": 2})
    probing = begin(spec, NOW, NOW)
    assert probing.next_at == after(5)
    probing = observe(probing, spec, success=False, now=after(5))
    assert (probing.failures, probing.next_at) == (1, after(10))
    probing = observe(probing, spec, success=False, now=after(10))
    assert probing.passed is False


def test_after_a_success_probes_come_once_a_period() -> None:
    probing = observe(begin(SPEC, NOW, NOW), SPEC, success=True, now=after(0.3))
    assert probing.next_at == after(2.3)
    probing = observe(probing, SPEC, success=False, now=after(2.3))
    assert (probing.passed, probing.failures) == (True, 1)
    assert probing.next_at == after(4.3)


def test_a_success_threshold_above_one_asks_for_whole_periods() -> None:
    spec = probe_spec(READINESS, {"periodSeconds": 1, "successThreshold": 2})
    first = observe(begin(spec, NOW, NOW), spec, success=True, now=NOW)
    assert (first.passed, first.next_at) == (None, after(1))
    assert observe(first, spec, success=True, now=after(1)).passed


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 4))
def test_no_sequence_of_results_probes_too_often_or_forgets(
    results: list[bool], period: int, threshold: int
) -> None:
    spec = probe_spec(READINESS, {"periodSeconds": period, "failureThreshold": threshold})
    probing = begin(spec, NOW, NOW)
    for success in results:
        at = probing.next_at
        counted = at >= probing.regular_at
        before = probing
        probing = observe(probing, spec, success=success, now=at)
        assert timedelta(milliseconds=50) <= probing.next_at - at <= spec.period
        assert probing.failures <= before.failures + int(counted)
        if success:
            assert probing.passed
        if probing.passed is False:
            assert probing.failures >= threshold or before.passed is False


@given(st.floats(min_value=0, max_value=600))
def test_the_gap_grows_with_the_time_gone_by(seconds: float) -> None:
    slow = probe_spec(STARTUP, {"periodSeconds": 30, "failureThreshold": 100})
    probing = replace(begin(slow, NOW, NOW), next_at=after(seconds), regular_at=after(10_000))
    gap = observe(probing, slow, success=False, now=after(seconds)).next_at - after(seconds)
    assert gap == max(timedelta(milliseconds=50), timedelta(seconds=seconds) * 0.05)
