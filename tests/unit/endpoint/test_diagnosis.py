from __future__ import annotations

import json
from typing import Any

import pytest

from puna.api.reasons import Reason
from puna.core.plan import Manifest
from puna.endpoint.diagnosis import FETCH_REASONS, Diagnosis, diagnose, is_fetching, is_loading
from puna_fetch.config import FetchReason
from tests.factories import (
    NOW,
    deployment,
    pod,
    running,
    terminated,
    unschedulable,
    waiting,
)

PROCESS = "aaaaaaaa"
WRONG = json.dumps({"reason": "ChecksumMismatch", "message": "wrong digest"})
BROKE_OFF = json.dumps({"reason": "DownloadFailed", "message": "broke off"})


def of(**pod_members: Any) -> Diagnosis | None:
    return diagnose([pod(PROCESS, ready=False, **pod_members)], [])


def test_a_pod_that_starts_has_no_fault() -> None:
    assert of(fetch=waiting("PodInitializing")) is None
    assert of(fetch=terminated(code=0, reason="Completed"), server=running()) is None
    assert of(server=waiting("ContainerCreating")) is None


def test_every_failure_of_the_fetcher_is_a_reason_of_ours() -> None:
    assert set(FETCH_REASONS) == set(FetchReason)


@pytest.mark.parametrize("reason", FetchReason)
def test_the_fetchers_own_words_are_shown(reason: FetchReason) -> None:
    end = terminated(json.dumps({"reason": reason, "message": "in a sentence"}))
    expected = Diagnosis(FETCH_REASONS[reason], "in a sentence")
    assert of(fetch=end) == expected
    assert of(fetch=waiting("CrashLoopBackOff", last=end)) == expected


def test_a_fetcher_that_ended_without_words_has_failed_to_download() -> None:
    assert of(fetch=terminated("Killed", code=137)) == Diagnosis(
        Reason.DOWNLOAD_FAILED, "puna-fetch ended: Killed"
    )


def test_a_missing_secret_is_named_with_the_way_out() -> None:
    held = waiting("CreateContainerConfigError", 'secret "token" not found')
    found = of(fetch=held)
    assert found is not None
    assert found.reason == Reason.SECRET_NOT_FOUND
    assert "Secret token" in found.message


def test_a_backend_key_that_is_not_there_yet_is_nobodys_fault_in_the_spec() -> None:
    held = waiting("CreateContainerConfigError", 'secret "puna-backend-key" not found')
    found = of(server=held)
    assert found is not None
    assert found.reason == Reason.POD_FAILED


def test_words_after_log_lines_are_found() -> None:
    assert of(fetch=terminated(f"some log\n{WRONG}")) == Diagnosis(
        Reason.CHECKSUM_MISMATCH, "wrong digest"
    )


def test_a_fetch_under_way_again_keeps_its_fault_unless_it_broke_off() -> None:
    def again(words: str) -> Manifest:
        return running() | {"started": True, "lastState": terminated(words)["state"]}

    assert of(fetch=again(WRONG)) == Diagnosis(Reason.CHECKSUM_MISMATCH, "wrong digest")
    assert of(fetch=again(BROKE_OFF)) is None


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (
            terminated("srv: error loading model: bad magic"),
            Diagnosis(
                Reason.INVALID_MODEL,
                "llama-server cannot load the model: srv: error loading model: bad magic",
            ),
        ),
        (
            terminated("couldn't bind HTTP server socket"),
            Diagnosis(Reason.PORT_IN_USE, "couldn't bind HTTP server socket"),
        ),
        (
            terminated("out of ideas", code=3),
            Diagnosis(
                Reason.CRASH_LOOP, "llama-server ended with exit code 3 (Error): out of ideas"
            ),
        ),
        (
            terminated(code=0, reason="Completed"),
            Diagnosis(Reason.CRASH_LOOP, "llama-server ended with exit code 0 (Completed): "),
        ),
        (
            terminated(code=137, reason="OOMKilled"),
            Diagnosis(
                Reason.CRASH_LOOP,
                "llama-server ended with exit code 137 (OOMKilled): it needs more memory than "
                "resources.limits.memory of its pool",
            ),
        ),
    ],
)
def test_the_last_words_of_a_server_tell_why(end: Manifest, expected: Diagnosis) -> None:
    assert of(server=end) == expected
    assert of(server=waiting("CrashLoopBackOff", last=end)) == expected
    starting = running() | {"started": False, "lastState": end["state"]}
    assert of(server=starting) == expected


def test_a_server_that_started_again_is_not_blamed_for_an_old_end() -> None:
    state = running() | {"started": True, "lastState": terminated("long ago")["state"]}
    assert of(server=state) is None


def test_long_last_words_are_cut_at_their_beginning() -> None:
    found = of(server=terminated("x" * 1000 + "the end"))
    assert found is not None
    assert found.message.endswith("x" * 393 + "the end")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (waiting("PortInUse", "20001"), Diagnosis(Reason.PORT_IN_USE, "20001")),
        (waiting("NotAllowed", "no profile"), Diagnosis(Reason.NOT_ALLOWED, "no profile")),
        (
            waiting("ImagePullBackOff", "no such image"),
            Diagnosis(Reason.POD_FAILED, "ImagePullBackOff: no such image"),
        ),
        (waiting("ErrImagePull"), Diagnosis(Reason.POD_FAILED, "ErrImagePull")),
    ],
)
def test_a_container_that_cannot_start_says_why(state: Manifest, expected: Diagnosis) -> None:
    assert of(server=state) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("NotAllowed", Reason.NOT_ALLOWED), ("Evicted", Reason.POD_FAILED)],
)
def test_a_pod_that_a_node_refused_says_why(reason: str, expected: Reason) -> None:
    found = of(phase="Failed", status={"reason": reason, "message": "the node's words"})
    assert found == Diagnosis(expected, f"{reason}: the node's words")


def test_the_scheduler_is_quoted() -> None:
    assert of(conditions=[unschedulable("no node")]) == Diagnosis(Reason.UNSCHEDULABLE, "no node")
    claim = "pod has unbound immediate PersistentVolumeClaims"
    assert of(conditions=[unschedulable(claim)]) == Diagnosis(Reason.VOLUME_CLAIM_UNBOUND, claim)


def test_a_fault_of_the_model_is_told_before_others_and_the_first_pod_before_others() -> None:
    pods = [
        pod(PROCESS, name="c", ready=False, fetch=terminated(WRONG)),
        pod(PROCESS, name="b", ready=False, conditions=[unschedulable()]),
        pod(PROCESS, name="a", ready=False, server=terminated("crash")),
    ]
    assert diagnose(pods, []) == Diagnosis(Reason.CHECKSUM_MISMATCH, "wrong digest")
    found = diagnose(pods[1:], [])
    assert found is not None
    assert found.reason is Reason.CRASH_LOOP
    assert found == diagnose(reversed(pods[1:]), [])


def test_pods_that_are_ready_or_leaving_have_no_say() -> None:
    leaving = pod(PROCESS, ready=False, server=terminated("x"), deletionTimestamp=NOW.isoformat())
    serving = pod(PROCESS, server=terminated("x"))
    assert diagnose([leaving, serving], []) is None


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "message": "pods is forbidden: exceeded quota: gpu",
            },
            Reason.QUOTA_EXCEEDED,
        ),
        (
            {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"},
            Reason.POD_FAILED,
        ),
        (
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "has timed out progressing",
            },
            Reason.PROGRESS_DEADLINE_EXCEEDED,
        ),
    ],
)
def test_a_deployment_without_pods_says_why(condition: Manifest, expected: Reason) -> None:
    found = diagnose([], [deployment(PROCESS), deployment(PROCESS, conditions=[condition])])
    assert found == Diagnosis(expected, condition["message"])


def test_fetching_and_loading_are_seen_by_what_runs() -> None:
    fetching = pod(PROCESS, ready=False, fetch=running())
    loading = pod(PROCESS, ready=False, server=running())
    serving = pod(PROCESS, server=running())
    assert [is_fetching(item) for item in (fetching, loading, serving)] == [True, False, False]
    assert [is_loading(item) for item in (fetching, loading, serving)] == [False, True, False]
