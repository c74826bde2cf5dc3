from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from puna.api.conditions import find
from puna.api.llmendpoint_status import LLMEndpointStatus, Outcome, RevisionRole
from puna.api.reasons import ConditionType, Reason
from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Manifest, Plan
from puna.endpoint.effective import resolve
from puna.endpoint.plan import plan
from puna.endpoint.revision import new_revision
from tests.factories import NAME, NAMESPACE, NOW, endpoint, observed, settings, stored
from tests.fake_cluster import FakeCluster
from tests.trainings import complete_job, training_job

NAMED = {"trainingJobRef": {"name": "tiny", "artifact": "Q8_0"}}
SELECTING = {"trainingJobRef": {"selector": {"matchLabels": {"model": "code"}}, "artifact": "Q8_0"}}
LABELS = {"model": "code"}
CANARY = {"strategy": "Canary", "canary": {"steps": [{"weight": 10, "holdSeconds": 60}]}}
FOLLOWING = endpoint(model=NAMED)
CLAIMS: dict[str, Manifest] = {"runs": {}}


def made(*jobs: TrainingJob, model: Any = NAMED) -> Plan[LLMEndpointStatus]:
    return plan(endpoint(model=model), observed(jobs=jobs, claims=CLAIMS), settings(), NOW)


def resolved(result: Plan[LLMEndpointStatus]) -> tuple[str, Reason, str]:
    found = find(result.status.conditions, ConditionType.RESOLVED_REFS)
    assert found is not None
    return found.status, found.reason, found.message


def served(cluster: FakeCluster) -> str | None:
    """Run of the stable revision."""
    status = cluster.endpoint.status
    for item in status.revisions:
        if item.name == status.stable_revision:
            return item.lineage.uid if item.lineage else None
    return None


def coming(cluster: FakeCluster) -> str | None:
    """Run of the revision that the spec means."""
    for item in cluster.endpoint.status.revisions:
        if item.role is RevisionRole.CANDIDATE:
            return item.lineage.uid if item.lineage else None
    return None


def cluster(*jobs: TrainingJob, model: Any = SELECTING, rollout: Any = CANARY) -> FakeCluster:
    """An endpoint that serves the newest of some runs."""
    there = FakeCluster(endpoint(model=model, rollout=rollout), claims=CLAIMS)
    there.jobs = {job.metadata.uid: job for job in jobs}
    there.live_through()
    return there


def test_an_endpoint_waits_for_its_run_and_for_its_file() -> None:
    waiting = training_job(name="tiny", status=TrainingJobStatus())
    other = complete_job(artifact="F16")  # type: ignore[arg-type]
    status, reason, message = resolved(made())
    assert (status, reason) == ("False", Reason.TRAINING_JOB_NOT_FOUND)
    assert message == (
        "spec.model.trainingJobRef.name: there is no TrainingJob tiny in namespace team; create it "
        "or name another"
    )
    _, reason, message = resolved(made(waiting))
    assert reason == Reason.ARTIFACT_NOT_READY
    assert message == (
        "spec.model.trainingJobRef.artifact: no TrainingJob has a verified Q8_0 yet: tiny is not "
        "complete"
    )
    assert resolved(made(other))[2].endswith("no TrainingJob has a verified Q8_0 yet: tiny has F16")
    assert made().children is None


def test_a_selector_that_fits_nothing_is_named() -> None:
    expressions = [
        {"key": "stage", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": LABELS, "matchExpressions": expressions}
    result = made(model={"trainingJobRef": {"selector": selector, "artifact": "Q8_0"}})
    assert resolved(result)[2] == (
        "spec.model.trainingJobRef.selector: no TrainingJob in namespace team has the labels "
        "model=code,stage in (a,b),!old; create one or change the selector"
    )


def test_a_verified_file_is_served_from_where_it_lies_and_by_its_digest() -> None:
    result = made(complete_job())
    assert resolved(result)[:2] == ("True", Reason.RESOLVED)
    (deployment,) = [item for item in result.children or () if item["kind"] == "Deployment"]
    arguments = deployment["spec"]["template"]["spec"]["initContainers"][0]["args"]
    assert "--uri=pvc://runs/tiny/export/tiny-Q8_0.gguf" in arguments
    assert f"--sha256={'a' * 64}" in arguments


def test_a_revision_says_where_its_model_comes_from() -> None:
    there = cluster(complete_job(scores={"perplexity": 12.5}), model=NAMED)
    (revision,) = there.endpoint.status.revisions
    assert revision.lineage is not None
    assert revision.lineage.to_dict() == {
        "job": "tiny",
        "uid": "uid-tiny-1",
        "createdAt": "2026-03-01T12:00:00Z",
        "completedAt": "2026-03-01T12:10:00Z",
        "seed": 1,
        "dataHash": "d" * 64,
        "tokenizerHash": "e" * 64,
        "scores": {"perplexity": 12.5},
        "sha256": "a" * 64,
    }


def test_what_was_stored_before_lineage_was_goes_on_as_it_is() -> None:
    there = cluster(complete_job(), model=NAMED)
    (kept,) = there.of_kind("ControllerRevision")
    old = kept | {"data": {k: v for k, v in kept["data"].items() if k != "lineage"}}
    there.objects = {key: old if item is kept else item for key, item in there.objects.items()}
    before = dict(there.pods)
    there.settle()
    assert there.of_kind("ControllerRevision") == [old]
    assert there.pods == before
    there.jobs = {}
    there.settle()
    assert there.condition("Ready")[0] == "True"
    there.jobs = {"2": complete_job(digest="b", number=2)}
    there.live_through()
    assert (served(there), there.pods == before) == ("uid-tiny-2", False)


@pytest.mark.parametrize("model", [NAMED, SELECTING], ids=["name", "selector"])
def test_a_newer_run_starts_a_canary_once_it_is_complete(model: Any) -> None:
    there = cluster(complete_job(labels=LABELS), model=model)
    name = "tiny" if model is NAMED else "tiny-2"
    young = complete_job(name, digest="b", number=2, labels=LABELS)
    running = young.model_copy(update={"status": TrainingJobStatus()})
    if model is NAMED:
        there.jobs = {}  # it was deleted, to be made again under its name
    there.jobs["2"] = running
    before = there.plan().children
    there.settle()
    assert (served(there), coming(there)) == ("uid-tiny-1", None)
    assert there.plan().children == before
    there.jobs["2"] = young
    there.settle()
    assert (served(there), coming(there)) == ("uid-tiny-1", f"uid-{name}-2")
    assert sorted(there.weights().values()) == [10, 90]
    there.live_through()
    assert served(there) == f"uid-{name}-2"


def test_of_two_runs_that_are_complete_the_one_made_later_is_served() -> None:
    slow = complete_job("slow", digest="a", number=1, labels=LABELS)
    late = slow.status.model_copy(update={"completion_time": NOW.replace(year=2027)})
    quick = complete_job("quick", digest="b", number=2, labels=LABELS)
    there = cluster(slow.model_copy(update={"status": late}), quick)
    assert served(there) == "uid-quick-2"


def test_a_run_that_vanishes_brings_no_older_one_back() -> None:
    first = complete_job("a", number=1, labels=LABELS)
    second = complete_job("b", digest="b", number=2, labels=LABELS)
    there = cluster(first, second)
    assert served(there) == "uid-b-2"
    before = dict(there.pods)
    del there.jobs["uid-b-2"]
    there.live_through()
    assert (served(there), coming(there)) == ("uid-b-2", None)
    there.jobs = {}
    there.live_through()
    assert (served(there), there.pods) == ("uid-b-2", before)
    assert there.condition("Ready")[0] == "True"


def test_a_canary_goes_on_when_its_run_vanishes() -> None:
    there = cluster(complete_job("a", number=1, labels=LABELS))
    there.jobs["b"] = complete_job("b", digest="b", number=2, labels=LABELS)
    there.settle()
    del there.jobs["b"]
    there.live_through()
    assert served(there) == "uid-b-2"


def test_what_was_refused_is_meant_until_its_run_is_gone() -> None:
    there = cluster(complete_job("a", number=1, labels=LABELS))
    there.jobs["b"] = complete_job("b", digest="b", number=2, labels=LABELS)
    there.settle()
    canary = there.endpoint.status.canary
    assert canary is not None
    there.annotate(abort=canary.revision)
    there.live_through()
    assert there.condition("Progressing") == ("False", Reason.CANARY_ABORTED)
    del there.jobs["b"]
    there.live_through()
    assert (served(there), there.condition("Ready")[0]) == ("uid-a-1", "True")
    outcomes = {item.outcome for item in there.endpoint.status.revisions}
    assert outcomes == {None, Outcome.ABORTED}


def went_back(there: FakeCluster) -> tuple[str | None, str | None]:
    """The rollback in force: to which revision, and instead of which one."""
    found = there.endpoint.status.rollback
    return (None, None) if found is None else (found.revision, found.instead_of)


@pytest.mark.parametrize("rollout", [CANARY, {"strategy": "Surge"}])
@pytest.mark.parametrize("gone_first", [True, False])
def test_a_rollback_holds_although_the_run_that_was_meant_is_gone(
    *, gone_first: bool, rollout: Any
) -> None:
    there = cluster(complete_job("a", number=1, labels=LABELS), rollout=rollout)
    first = there.endpoint.status.stable_revision
    there.jobs["b"] = complete_job("b", digest="b", number=2, labels=LABELS)
    there.live_through()
    second = there.endpoint.status.stable_revision
    if gone_first:
        del there.jobs["b"]
        there.live_through()
    there.annotate(rollback=f"{first}/{second}")
    there.live_through()
    there.jobs.pop("b", None)
    there.live_through()
    assert there.weights() == {first: 100}
    assert went_back(there) == (first, second)
    assert there.condition("Progressing")[1] == Reason.ROLLED_BACK
    there.annotate(rollback=None)
    there.live_through()
    assert (served(there), went_back(there)) == ("uid-b-2", (None, None))


def test_a_rollback_is_over_once_a_newer_run_is_complete() -> None:
    there = cluster(complete_job("a", number=1, labels=LABELS))
    first = there.endpoint.status.stable_revision
    there.jobs["b"] = complete_job("b", digest="b", number=2, labels=LABELS)
    there.live_through()
    there.annotate(rollback=f"{first}/{there.endpoint.status.stable_revision}")
    there.live_through()
    there.jobs = {"c": complete_job("c", digest="c", number=3, labels=LABELS)}
    there.live_through()
    assert (served(there), went_back(there)) == ("uid-c-3", (None, None))
    there.jobs = {}
    there.live_through()
    assert (served(there), went_back(there)) == ("uid-c-3", (None, None))


def test_a_run_that_makes_the_same_file_again_changes_nothing() -> None:
    there = cluster(complete_job(number=1), model=NAMED)
    before = there.plan().children
    there.jobs = {"2": complete_job(number=2)}
    assert there.plan().children == before


def test_hashes_do_not_depend_on_where_a_model_comes_from() -> None:
    model = NAMED | {"uri": "pvc://runs/tiny/export/tiny-Q8_0.gguf", "sha256": "a" * 64}
    spec = endpoint(model=model).spec
    known = resolve(NAME, spec, {})
    assert (known.process, known.revision) == ("75843102", "0793013e")
    revision = new_revision(
        known, namespace=NAMESPACE, settings=settings(), role=RevisionRole.STABLE
    )
    assert "lineage" not in stored(replace(revision, proven=True))["data"]
