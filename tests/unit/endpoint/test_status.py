from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from puna.api.conditions import find
from puna.api.llmendpoint_status import LLMEndpointStatus, RevisionStatus, Summary
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.core.findings import Finding
from puna.core.plan import Event
from puna.endpoint.diagnosis import Diagnosis
from puna.endpoint.judgement import View
from puna.endpoint.routing import effective_routing
from puna.endpoint.status import build_status, transitions
from puna.settings import RouterSettings
from tests.factories import NOW, endpoint, revision
from tests.unit.endpoint.test_judgement import CANDIDATE, READY, STABLE, a_view

URL = "http://{endpoint}.{namespace}.svc/v1"
STARTING = a_view(stable=replace(STABLE, proven=False))
SERVING = a_view(READY)
CRASHING = a_view(problem=Diagnosis(Reason.CRASH_LOOP, "it ended"))
REFUSED = a_view(READY, refusal=Finding(Reason.INVALID_SPEC, "spec.model.uri: no"))


def status_of(
    view: View, before: LLMEndpointStatus | None = None, **spec: Any
) -> LLMEndpointStatus:
    resource = endpoint(**spec).model_copy(update={"status": before or LLMEndpointStatus()})
    revisions = tuple(item for item in (view.stable, view.candidate) if item)
    routing = effective_routing(resource.spec.routing, RouterSettings())
    return build_status(resource, view, revisions=revisions, routing=routing, public_url=URL)


def events(before: View | None, after: View) -> list[tuple[str, EventReason, str]]:
    old = LLMEndpointStatus() if before is None else status_of(before)
    return [
        (event.type, event.reason, event.message)
        for event in transitions(old, status_of(after, old), after)
    ]


def test_a_status_tells_everything_that_columns_and_scalers_need() -> None:
    status = status_of(SERVING)
    assert (status.replicas, status.ready_replicas, status.observed_generation) == (1, 1, 3)
    assert status.selector == "app.kubernetes.io/component=llama-server,puna.dev/endpoint=chat"
    assert status.url == "http://chat.team.svc/v1"
    assert status.stable_revision == STABLE.name
    assert status.summary == Summary(
        ready="1/1", model="tiny.gguf", pools="default 1/1", rollout="Complete"
    )


def test_the_summary_of_a_rollout_names_what_comes() -> None:
    surging = a_view(READY, candidate=CANDIDATE)
    assert status_of(surging).summary.rollout == f"Surge -> {CANDIDATE.name}"
    assert status_of(surging).summary.model == "tiny.gguf"
    assert status_of(REFUSED).summary.rollout == "Blocked"
    assert status_of(STARTING).summary.rollout == "Progressing"
    assert status_of(a_view(READY, retiring=True)).summary.rollout == "Progressing"


def test_a_uri_that_names_no_file_is_shown_as_it_is() -> None:
    nothing = a_view(stable=None, refusal=Finding(Reason.INVALID_SPEC, "no"))
    status = status_of(nothing, model={"uri": "hf://repository", "sha256": "1" * 64})
    assert status.summary.model == "hf://repository"


def test_revisions_are_told_with_model_and_role() -> None:
    assert status_of(SERVING).revisions == (
        RevisionStatus(name=STABLE.name, model="file:///srv/models/tiny.gguf", role=STABLE.role),
    )


def test_a_transition_time_stays_while_only_reason_and_message_change() -> None:
    before = status_of(STARTING)
    later = replace(CRASHING, now=NOW + timedelta(seconds=9))
    after = status_of(later, before)
    kinds = {kind: find(after.conditions, kind) for kind in ConditionType}
    times = {kind: condition.last_transition_time for kind, condition in kinds.items() if condition}
    assert times[ConditionType.READY] == NOW
    assert times[ConditionType.PROGRESSING] == NOW + timedelta(seconds=9)


def test_a_new_endpoint_tells_its_revision_and_no_alarm() -> None:
    assert events(None, STARTING) == [
        (
            "Normal",
            EventReason.REVISION_CREATED,
            f"revision {STABLE.name} of file:///srv/models/tiny.gguf",
        )
    ]


def test_becoming_ready_is_told_once() -> None:
    assert events(STARTING, SERVING) == [
        ("Normal", EventReason.BECAME_READY, "1/1 servers are ready")
    ]
    assert events(SERVING, SERVING) == []


def test_a_promotion_names_both_revisions() -> None:
    promoted = a_view(READY, stable=replace(STABLE, name=CANDIDATE.name))
    after = status_of(promoted, status_of(SERVING))
    assert Event(
        "Normal",
        EventReason.PROMOTED,
        f"revision {CANDIDATE.name} replaced {STABLE.name}",
    ) in transitions(status_of(SERVING), after, promoted)


def test_a_fault_is_told_once_though_several_conditions_have_it() -> None:
    wrong = a_view(problem=Diagnosis(Reason.CHECKSUM_MISMATCH, "wrong digest"))
    assert events(STARTING, wrong) == [
        ("Warning", EventReason.MODEL_FAILED, "ChecksumMismatch: wrong digest")
    ]
    assert events(wrong, wrong) == []


def test_a_crash_of_a_serving_endpoint_is_an_alarm() -> None:
    assert events(SERVING, CRASHING) == [("Warning", EventReason.STALLED, "CrashLoop: it ended")]


def test_a_refusal_is_told_by_its_field() -> None:
    assert events(SERVING, REFUSED) == [
        ("Warning", EventReason.REFUSED, "InvalidSpec: spec.model.uri: no")
    ]


def test_a_change_that_is_under_way_is_no_alarm() -> None:
    surging = a_view(READY, candidate=revision(endpoint(model={"uri": "file:///srv/models/b"})))
    told = events(SERVING, surging)
    assert {kind for kind, _, _ in told} == {"Normal"}
    assert [reason for _, reason, _ in told] == [
        EventReason.REVISION_CREATED,
        EventReason.BECAME_UNREADY,
    ]


def test_a_router_that_is_gone_is_an_alarm_though_nothing_is_rolled_out() -> None:
    unreachable = a_view(READY, router_ready=False)
    assert [(kind, reason) for kind, reason, _ in events(SERVING, unreachable)] == [
        ("Warning", EventReason.BECAME_UNREADY)
    ]
