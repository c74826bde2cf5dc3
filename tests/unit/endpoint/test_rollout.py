from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from puna.api.analysis import Analysis, CanaryVerdict, Result
from puna.api.llmendpoint_status import Outcome, RevisionRole
from puna.api.rollout import Canary, CanaryStep, RolloutStrategy
from puna.endpoint.canary import Position
from puna.endpoint.orders import Orders
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout import next_step
from puna.endpoint.rollout_input import RolloutInput
from puna.endpoint.samples import Reading
from puna_router.samples import RevisionSamples
from tests.factories import NOW, endpoint, preset, revision
from tests.unit.endpoint.test_judge import served

FIRST = revision(endpoint(), proven=True)
SECOND = revision(
    endpoint(model={"uri": "file:///srv/models/second.gguf"}), role=RevisionRole.CANDIDATE
)
COLDER = revision(
    endpoint(presetRef={"name": "balanced"}),
    preset(sampling={"temperature": 0}),
    role=RevisionRole.CANDIDATE,
)
NOBODY: frozenset[str] = frozenset()


CANARY = Canary(
    steps=(CanaryStep(weight=10, hold_seconds=60), CanaryStep(weight=50, hold_seconds=60))
)


def seen(wanted: StoredRevision, *stored: StoredRevision, **overrides: Any) -> RolloutInput:
    value = RolloutInput(
        wanted=wanted,
        stored=stored,
        strategy=RolloutStrategy.SURGE,
        complete={},
        live=frozenset(item.process for item in stored),
        pods=NOBODY,
        serving=NOBODY,
    )
    return replace(value, **overrides)


def test_the_first_revision_is_the_stable_one_at_once() -> None:
    step = next_step(seen(FIRST), NOW)
    assert step.stable == replace(FIRST, role=RevisionRole.STABLE)
    assert (step.candidate, step.retiring, step.waiting_for_old) == (None, (), False)


def test_a_revision_is_proven_once_a_pod_of_it_is_ready() -> None:
    young = replace(FIRST, proven=False)
    assert not next_step(seen(young, young), NOW).stable.proven
    assert next_step(seen(young, young, serving=frozenset({FIRST.process})), NOW).stable.proven


def test_under_surge_a_new_revision_waits_until_it_is_complete() -> None:
    step = next_step(seen(SECOND, FIRST), NOW)
    assert step.stable == FIRST
    assert step.candidate == SECOND
    taken = next_step(seen(SECOND, FIRST, SECOND, complete={SECOND.process: True}), NOW)
    assert taken.stable == replace(SECOND, role=RevisionRole.STABLE, promoted_at=NOW)
    assert taken.candidate is None
    assert taken.retiring == (replace(FIRST, role=RevisionRole.RETIRED),)


def test_a_revision_that_never_served_is_not_waited_for() -> None:
    young = replace(FIRST, proven=False)
    step = next_step(seen(SECOND, young), NOW)
    assert (step.stable.name, step.candidate, step.retiring) == (SECOND.name, None, ())


def test_a_revision_of_the_same_process_takes_over_at_once() -> None:
    step = next_step(seen(COLDER, FIRST), NOW)
    assert (step.stable.name, step.candidate, step.retiring) == (COLDER.name, None, ())


def test_under_replace_a_new_revision_takes_over_and_waits_for_the_old_pods() -> None:
    value = seen(SECOND, FIRST, strategy=RolloutStrategy.REPLACE, pods=frozenset({FIRST.process}))
    step = next_step(value, NOW)
    assert (step.stable.name, step.candidate, step.retiring) == (SECOND.name, None, ())
    assert step.waiting_for_old
    assert not next_step(replace(value, pods=NOBODY), NOW).waiting_for_old


def test_under_replace_a_running_revision_does_not_stop_for_another_ones_pods() -> None:
    stable = replace(SECOND, role=RevisionRole.STABLE)
    value = seen(stable, stable, strategy=RolloutStrategy.REPLACE)
    step = next_step(replace(value, pods=frozenset({FIRST.process, SECOND.process})), NOW)
    assert not step.waiting_for_old


def test_a_candidate_that_is_wanted_no_longer_goes() -> None:
    step = next_step(seen(FIRST, FIRST, SECOND), NOW)
    assert (step.stable, step.candidate, step.retiring) == (FIRST, None, ())
    assert step.revisions == (FIRST, replace(SECOND, role=RevisionRole.RETIRED))


def test_a_stored_revision_is_taken_up_again_as_it_was_stored() -> None:
    old = replace(FIRST, role=RevisionRole.RETIRED, number=3, raw={"as": "stored"})
    stable = replace(SECOND, role=RevisionRole.STABLE, proven=True)
    step = next_step(seen(FIRST, stable, old), NOW)
    assert step.candidate == replace(old, role=RevisionRole.CANDIDATE)


def test_of_two_stable_ones_the_one_promoted_last_serves() -> None:
    later = replace(SECOND, role=RevisionRole.STABLE, promoted_at=NOW - timedelta(seconds=1))
    step = next_step(seen(SECOND, FIRST, later), NOW)
    assert step.stable == later
    assert step.retiring == (replace(FIRST, role=RevisionRole.RETIRED),)


def test_of_no_stable_one_the_last_that_served_and_runs_still_serves() -> None:
    retired = replace(FIRST, role=RevisionRole.RETIRED)
    third = revision(endpoint(model={"uri": "file:///srv/models/third.gguf"}))
    step = next_step(seen(third, retired, SECOND), NOW)
    assert (step.stable.name, step.candidate) == (
        FIRST.name,
        replace(third, role=RevisionRole.CANDIDATE),
    )


def canary(wanted: StoredRevision, *stored: StoredRevision, **overrides: Any) -> RolloutInput:
    return seen(
        wanted, *stored, **({"strategy": RolloutStrategy.CANARY, "canary": CANARY} | overrides)
    )


def started(step: int = 0, *, seconds: int = 0, **overrides: Any) -> StoredRevision:
    """The second revision as a canary."""
    position = Position(step, NOW - timedelta(seconds=seconds))
    return replace(SECOND, position=position, proven=True, **overrides)


def test_a_canary_runs_beside_the_stable_revision_with_few_servers() -> None:
    step = next_step(canary(SECOND, FIRST), NOW)
    assert (step.stable, step.candidate, step.weight) == (FIRST, SECOND, 0)
    assert (step.canary, step.needs_all) == (CANARY, False)


def test_a_canary_that_is_ready_begins_its_first_step_and_has_served() -> None:
    step = next_step(canary(SECOND, FIRST, SECOND, ready=True), NOW)
    assert step.candidate == started()
    assert (step.weight, step.needs_all) == (10, False)


def test_a_canary_of_the_same_process_begins_at_once_and_needs_no_servers() -> None:
    step = next_step(canary(COLDER, FIRST), NOW)
    assert step.candidate == replace(COLDER, position=Position(0, NOW), proven=True)
    assert (step.weight, step.shares_pods) == (10, True)


def test_a_canary_takes_over_after_its_last_step_with_nothing_left_of_it() -> None:
    last = started(1, seconds=60)
    value = canary(SECOND, FIRST, last, complete={SECOND.process: True})
    step = next_step(value, NOW)
    assert step.stable == replace(SECOND, role=RevisionRole.STABLE, proven=True, promoted_at=NOW)
    assert step.retiring == (replace(FIRST, role=RevisionRole.RETIRED),)


def test_a_canary_is_promoted_by_an_order_that_means_it() -> None:
    value = canary(SECOND, FIRST, started(), orders=Orders(promote=SECOND.name))
    waiting = next_step(value, NOW)
    assert (waiting.candidate, waiting.needs_all) == (started(), True)
    complete = replace(value, complete={SECOND.process: True})
    assert next_step(complete, NOW).stable.name == SECOND.name


def test_an_aborted_canary_gets_nothing_and_its_servers_wait_for_the_routers() -> None:
    orders = Orders(abort=SECOND.name)
    step = next_step(canary(SECOND, FIRST, started(1, seconds=9), orders=orders), NOW)
    assert (step.stable, step.candidate, step.weight) == (FIRST, None, 0)
    assert step.rejected == replace(
        SECOND, position=Position(None, NOW), proven=True, outcome=Outcome.ABORTED
    )
    assert step.retiring == (step.rejected,)
    assert step.changed_at == NOW


def test_an_aborted_revision_stays_so_whatever_is_ordered_later() -> None:
    aborted = replace(SECOND, outcome=Outcome.ABORTED)
    step = next_step(canary(SECOND, FIRST, aborted, ready=True), NOW)
    assert (step.candidate, step.rejected) == (None, aborted)
    promoted = canary(SECOND, FIRST, aborted, orders=Orders(promote=SECOND.name))
    assert next_step(promoted, NOW).rejected == aborted


def test_a_revision_that_is_wanted_anew_begins_anew_and_old_orders_are_not_meant_for_it() -> None:
    aborted = replace(SECOND, role=RevisionRole.RETIRED, outcome=Outcome.ABORTED, proven=True)
    orders = Orders(promote="00000000", abort=SECOND.name).of(SECOND.name)
    step = next_step(canary(SECOND, FIRST, aborted, orders=orders), NOW)
    assert step.candidate == replace(SECOND, proven=True, passed_over=orders)
    again = replace(orders, abort=f"{SECOND.name}/2")
    assert step.candidate is not None
    value = canary(SECOND, FIRST, step.candidate, orders=again)
    assert next_step(value, NOW).rejected is not None


def test_an_order_for_a_revision_that_is_not_stored_yet_is_an_old_one() -> None:
    orders = Orders(promote=SECOND.name)
    step = next_step(canary(SECOND, FIRST, orders=orders, complete={SECOND.process: True}), NOW)
    assert step.candidate == replace(SECOND, passed_over=orders)


def test_a_canary_holds_while_a_router_refuses_what_it_is_told_but_can_be_aborted() -> None:
    value = canary(
        SECOND, FIRST, started(seconds=60), refused=True, complete={SECOND.process: True}
    )
    assert next_step(value, NOW).candidate == started(seconds=60)
    promote = replace(value, orders=Orders(promote=SECOND.name))
    assert next_step(promote, NOW).candidate == started(seconds=60)
    abort = replace(value, orders=Orders(abort=SECOND.name))
    assert next_step(abort, NOW).rejected is not None


def test_another_change_takes_the_place_of_a_canary() -> None:
    third = revision(
        endpoint(model={"uri": "file:///srv/models/third.gguf"}), role=RevisionRole.CANDIDATE
    )
    step = next_step(canary(third, FIRST, started(1)), NOW)
    assert (step.stable, step.candidate) == (FIRST, third)
    left = replace(SECOND, role=RevisionRole.RETIRED, proven=True, position=Position(None, NOW))
    assert step.retiring == (left,)


def test_a_spec_that_is_back_at_the_stable_revision_ends_the_canary() -> None:
    step = next_step(canary(FIRST, FIRST, started(1)), NOW)
    assert (step.stable, step.candidate, step.rejected) == (FIRST, None, None)
    assert [item.name for item in step.retiring] == [SECOND.name]


@pytest.mark.parametrize("strategy", list(RolloutStrategy))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_was_rejected_stays_so_under_every_strategy(
    strategy: RolloutStrategy, outcome: Outcome
) -> None:
    rejected = replace(SECOND, outcome=outcome)
    complete = {SECOND.process: True}
    step = next_step(seen(SECOND, FIRST, rejected, complete=complete, strategy=strategy), NOW)
    assert (step.stable.name, step.candidate, step.rejected) == (FIRST.name, None, rejected)


def test_a_revision_that_never_served_gives_way_to_a_canary_at_once() -> None:
    young = replace(FIRST, proven=False)
    assert next_step(canary(SECOND, young), NOW).stable.name == SECOND.name


def test_a_promotion_cut_short_is_finished() -> None:
    promoted = replace(
        SECOND, role=RevisionRole.STABLE, proven=True, promoted_at=NOW - timedelta(seconds=1)
    )
    step = next_step(canary(SECOND, FIRST, promoted), NOW)
    assert step.stable == promoted
    assert step.retiring == (replace(FIRST, role=RevisionRole.RETIRED),)


def said(result: Result) -> CanaryVerdict:
    return CanaryVerdict(result=result, message=f"golden prompts: {result}")


ANALYSED = CANARY.model_copy(update={"analysis": Analysis()})


def counted(canary: RevisionSamples, stable: RevisionSamples) -> tuple[Reading, ...]:
    """What a router counted that is younger than the step."""
    return (Reading("router-1", NOW, {SECOND.name: canary, FIRST.name: stable}),)


def test_a_gate_holds_the_first_weight_back() -> None:
    step = next_step(canary(SECOND, FIRST, ready=True, gate=said(Result.ERROR)), NOW)
    assert (step.weight, step.verdict) == (0, said(Result.ERROR))
    step = next_step(canary(SECOND, FIRST, ready=True, gate=said(Result.PASS)), NOW)
    assert step.weight == 10
    failed = next_step(canary(SECOND, FIRST, ready=True, gate=said(Result.FAIL)), NOW)
    assert failed.rejected is not None
    assert failed.rejected.outcome is Outcome.FAILED
    assert failed.rejected.verdict == "golden prompts: Fail"


def test_what_was_measured_holds_the_next_weight_back() -> None:
    value = canary(
        SECOND,
        FIRST,
        started(seconds=90),
        canary=ANALYSED,
        ready=True,
        complete={SECOND.process: True},
    )
    assert next_step(value, NOW).weight == 10
    few = replace(value, readings=counted(served(20), served(500)))
    assert next_step(few, NOW).weight == 10
    enough = replace(value, readings=counted(served(500), served(500)))
    step = next_step(enough, NOW)
    assert step.weight == 50
    assert step.candidate is not None
    assert step.candidate.baseline is not None
    assert step.candidate.baseline.reference == served(500)


def test_a_canary_that_fails_gets_nothing_and_stays_rejected_with_its_arithmetic() -> None:
    readings = counted(served(100, 60), served(500))
    value = canary(SECOND, FIRST, started(), canary=ANALYSED, ready=True, readings=readings)
    step = next_step(value, NOW)
    assert (step.weight, step.candidate) == (0, None)
    rejected = step.rejected
    assert rejected is not None
    assert rejected.verdict is not None
    assert rejected.verdict.startswith("Errors: canary 60 of 100 failed (60.0%)")
    assert rejected == replace(
        started(), outcome=Outcome.FAILED, verdict=rejected.verdict, position=Position(None, NOW)
    )
    again = next_step(canary(SECOND, FIRST, rejected, canary=ANALYSED, ready=True), NOW)
    assert (again.candidate, again.rejected) == (None, rejected)


def test_an_order_to_promote_counts_more_than_what_was_measured() -> None:
    value = canary(
        SECOND,
        FIRST,
        started(),
        canary=ANALYSED,
        orders=Orders(promote=SECOND.name),
        readings=counted(served(100, 60), served(500)),
        complete={SECOND.process: True},
    )
    assert next_step(value, NOW).stable.name == SECOND.name
    assert next_step(replace(value, refused=True), NOW).rejected is None
