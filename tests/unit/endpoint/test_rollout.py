from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from puna.api.llmendpoint import RevisionRole, RolloutStrategy
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout import RolloutInput, next_step
from tests.factories import NOW, endpoint, preset, revision

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
