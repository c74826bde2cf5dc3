from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from puna.api.conditions import Condition, find
from puna.api.llmendpoint_status import FetchStatus
from puna.api.reasons import ConditionType, Reason
from puna.core.findings import Finding
from puna.core.plan import Manifest
from puna.endpoint.census import take
from puna.endpoint.diagnosis import Diagnosis
from puna.endpoint.effective import pools_of
from puna.endpoint.judgement import LONGEST_MESSAGE, View, judge
from tests.factories import NOW, deployment, endpoint, pod, revision

STABLE = revision(proven=True)
CANDIDATE = revision(endpoint(model={"uri": "file:///srv/models/b.gguf"}))
PROCESS = STABLE.process
CRASH = Diagnosis(Reason.CRASH_LOOP, "it ended")
WRONG_MODEL = Diagnosis(Reason.CHECKSUM_MISMATCH, "wrong digest")


def a_view(*pods: Manifest, replicas: int = 1, **overrides: Any) -> View:
    """One wanted server of a stable revision behind a ready router."""
    children = [deployment(PROCESS, replicas=replicas), deployment(CANDIDATE.process)]
    view = View(
        name="chat",
        generation=3,
        now=NOW,
        pools=pools_of(endpoint(replicas=replicas).spec),
        census=take(children, pods),
        refusal=None,
        unresolved=None,
        stable=STABLE,
        candidate=None,
        retiring=False,
        problem=None,
        awaited=None,
        fetching=False,
        fetch=None,
        loading=False,
        router_ready=True,
        routers_serve=True,
        rejection=None,
    )
    return replace(view, **overrides)


READY = pod(PROCESS)


def conditions(view: View) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in judge(view)}


def condition(view: View, kind: ConditionType) -> Condition:
    found = find(judge(view), kind)
    assert found is not None
    return found


def test_everything_is_true_once_all_servers_serve() -> None:
    assert conditions(a_view(READY)) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "Resolved"),
        "ModelReady": ("True", "ModelLoaded"),
        "Available": ("True", "ReplicasReady"),
        "Progressing": ("True", "Complete"),
        "Ready": ("True", "Ready"),
    }


def test_every_condition_speaks_of_the_generation_that_was_seen() -> None:
    assert {item.observed_generation for item in judge(a_view(READY))} == {3}


def test_a_new_endpoint_says_that_servers_are_starting() -> None:
    young = a_view(stable=replace(STABLE, proven=False))
    assert conditions(young) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "Resolved"),
        "ModelReady": ("Unknown", "ModelUnknown"),
        "Available": ("False", "WaitingForReplicas"),
        "Progressing": ("True", "RollingOut"),
        "Ready": ("False", "WaitingForReplicas"),
    }


def test_a_refusal_leaves_what_runs_available() -> None:
    refused = a_view(READY, refusal=Finding(Reason.INVALID_SPEC, "spec.model.uri: no"))
    assert conditions(refused) == {
        "Accepted": ("False", "InvalidSpec"),
        "ResolvedRefs": ("True", "Resolved"),
        "ModelReady": ("True", "ModelLoaded"),
        "Available": ("True", "ReplicasReady"),
        "Progressing": ("False", "InvalidSpec"),
        "Ready": ("False", "InvalidSpec"),
    }
    assert condition(refused, ConditionType.READY).message == "spec.model.uri: no"


def test_a_missing_reference_is_told_by_its_own_condition() -> None:
    found = conditions(a_view(unresolved=Finding(Reason.PRESET_NOT_FOUND, "no preset")))
    assert found["Accepted"] == ("True", "Accepted")
    assert found["ResolvedRefs"] == ("False", "PresetNotFound")
    assert found["Ready"] == ("False", "PresetNotFound")


@pytest.mark.parametrize(
    ("overrides", "expected", "message"),
    [
        ({"problem": WRONG_MODEL, "fetching": True}, ("False", "ChecksumMismatch"), "wrong digest"),
        (
            {"fetching": True},
            ("False", "Fetching"),
            "the fetch of the model has begun",
        ),
        (
            {"fetching": True, "fetch": FetchStatus(stage="Waiting", pod="a")},
            ("False", "Fetching"),
            "Pod a waits for another Pod that fetches the same file",
        ),
        ({"loading": True}, ("False", "Loading"), "llama-server reads the model"),
        (
            {"loading": True, "problem": CRASH},
            ("Unknown", "ModelUnknown"),
            "no Pod has come as far as the model yet",
        ),
    ],
)
def test_the_way_of_a_model_is_told(
    overrides: dict[str, Any], expected: tuple[str, str], message: str
) -> None:
    found = condition(a_view(**overrides), ConditionType.MODEL_READY)
    assert (found.status, found.reason) == expected
    assert found.message == message


def test_the_model_of_the_newest_revision_is_the_one() -> None:
    found = conditions(a_view(READY, candidate=CANDIDATE, fetching=True))
    assert found["ModelReady"] == ("False", "Fetching")
    assert found["Available"] == ("True", "ReplicasReady")


def test_a_crash_loop_is_never_ready() -> None:
    found = conditions(a_view(problem=CRASH))
    assert found["Available"] == ("False", "CrashLoop")
    assert found["Progressing"] == ("False", "CrashLoop")
    assert found["Ready"] == ("False", "CrashLoop")


def test_one_server_of_two_is_available_and_not_ready() -> None:
    half = a_view(READY, replicas=2)
    found = conditions(half)
    assert found["Available"] == ("True", "ReplicasReady")
    assert found["Progressing"] == ("True", "Scaling")
    assert found["Ready"] == ("False", "Scaling")
    assert condition(half, ConditionType.READY).message == "1 of 2 servers are ready"


def test_servers_without_a_router_are_not_available() -> None:
    found = conditions(a_view(READY, router_ready=False))
    assert found["Available"] == ("False", "RouterNotReady")
    assert found["Ready"] == ("False", "RouterNotReady")


def test_servers_that_the_router_does_not_send_to_yet_are_not_ready() -> None:
    found = conditions(a_view(READY, routers_serve=False))
    assert found["Progressing"] == ("True", "Complete")
    assert found["Ready"] == ("False", "RouterNotReady")


def test_a_routers_refusal_is_told_before_all_else() -> None:
    refused = a_view(READY, rejection="router a: unknown cluster")
    assert conditions(refused)["Ready"] == ("False", "RouterRejected")
    assert condition(refused, ConditionType.READY).message == "router a: unknown cluster"


def test_no_servers_are_what_was_asked_for() -> None:
    found = conditions(a_view(replicas=0))
    assert found["Available"] == ("False", "NoReplicas")
    assert found["Progressing"] == ("True", "Complete")
    assert found["Ready"] == ("False", "NoReplicas")


def test_a_surge_names_the_revision_that_comes_and_the_one_that_serves() -> None:
    surging = a_view(READY, candidate=CANDIDATE)
    found = condition(surging, ConditionType.PROGRESSING)
    assert (found.status, found.reason, found.message) == (
        "True",
        "RollingOut",
        f"revision {CANDIDATE.name}: 0 of 1 servers are ready; {STABLE.name} serves",
    )


def test_a_surge_without_room_names_the_way_out() -> None:
    full = Diagnosis(Reason.UNSCHEDULABLE, "0/1 nodes are available")
    found = condition(a_view(READY, candidate=CANDIDATE, problem=full), ConditionType.PROGRESSING)
    assert (found.status, found.reason, found.message) == (
        "False",
        "NoSpareAccelerator",
        (
            "no room for the new revision beside the running one; free some, or set "
            "spec.rollout.strategy to Replace, which ends the running one first: "
            "0/1 nodes are available"
        ),
    )


def test_no_room_for_the_first_revision_is_the_schedulers_word() -> None:
    full = Diagnosis(Reason.UNSCHEDULABLE, "0/1 nodes are available")
    assert conditions(a_view(problem=full))["Progressing"] == ("False", "Unschedulable")


def test_a_rollout_is_complete_once_the_former_revision_is_let_go() -> None:
    assert conditions(a_view(READY, retiring=True))["Progressing"] == ("True", "RollingOut")
    assert conditions(a_view(READY, retiring=True))["Ready"] == ("True", "Ready")


def test_what_is_awaited_is_said() -> None:
    waiting = a_view(awaited="Pods have to end first: a")
    for kind in (ConditionType.AVAILABLE, ConditionType.PROGRESSING, ConditionType.READY):
        assert condition(waiting, kind).message == "Pods have to end first: a"


def test_a_refused_child_is_told_though_the_old_servers_are_all_ready() -> None:
    refused = a_view(READY, problem=Diagnosis(Reason.APPLY_REJECTED, "must be less than"))
    found = conditions(refused)
    assert found["Available"] == ("True", "ReplicasReady")
    assert found["Progressing"] == ("False", "ApplyRejected")
    assert found["Ready"] == ("False", "ApplyRejected")


def test_a_message_has_an_end() -> None:
    refused = a_view(problem=Diagnosis(Reason.APPLY_REJECTED, "x" * 100_000))
    assert len(condition(refused, ConditionType.PROGRESSING).message) == LONGEST_MESSAGE
