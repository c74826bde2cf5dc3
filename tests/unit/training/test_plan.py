from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from puna.api.conditions import find
from puna.api.reasons import ConditionType, EventReason, Reason
from puna.api.training_status import TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.ownership import differs
from puna.core.plan import Manifest, ObjectKey, Plan
from puna.training.observed import ObservedTraining
from puna.training.plan import plan
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.config.refusals import refusals
from puna_trainer.config.run import read_run
from puna_trainer.exits import FailureReason
from puna_trainer.progress import Artifact, CheckpointNote, Parity, Result
from tests.factories import NAMESPACE, NOW, settings
from tests.trainings import (
    LANGUAGE,
    applied,
    ended_job,
    failure,
    observed_training,
    said,
    trainer_pod,
    training_job,
)

SECOND = timedelta(seconds=1)
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "message": "Eviction API"}


def made(
    job: TrainingJob | None = None,
    seen: ObservedTraining | None = None,
    after: timedelta = timedelta(),
) -> Plan[TrainingJobStatus]:
    return plan(job or training_job(), seen or observed_training(), settings(), NOW + after)


def children(result: Plan[TrainingJobStatus]) -> dict[str, Manifest]:
    return {child["kind"]: child for child in result.children or ()}


def condition(result: Plan[TrainingJobStatus], kind: ConditionType) -> tuple[str, Reason]:
    found = find(result.status.conditions, kind)
    assert found is not None
    return found.status, found.reason


def live(job: TrainingJob | None = None) -> tuple[Manifest, ...]:
    """The children of a new job as they are once applied."""
    return tuple(applied(child) for child in made(job).children or ())


def seen(*pods: Manifest, job: TrainingJob | None = None, **overrides: Any) -> ObservedTraining:
    return observed_training(**({"children": live(job), "pods": pods} | overrides))


def finished(kind: str, *pods: Manifest, **words: str) -> ObservedTraining:
    there = tuple(
        ended_job(child, kind, **words) if child["kind"] == "Job" else child for child in live()
    )
    return observed_training(children=there, pods=pods)


def test_a_new_job_gets_its_run_before_its_pods() -> None:
    first = made()
    assert [child["kind"] for child in first.children or ()] == ["ConfigMap", "Job"]
    assert {child["metadata"]["name"] for child in first.children or ()} == {"mnist-1"}


def test_run_json_is_what_the_trainer_takes() -> None:
    for job in (training_job(), training_job(**LANGUAGE)):
        run = read_run(children(made(job))["ConfigMap"]["data"]["run.json"])
        assert refusals(run) == ()
        assert run.output_directory == "/var/lib/puna/output/mnist"
        assert run.dataset.uri.startswith("file:///var/lib/puna/dataset/")


def test_defaults_that_the_api_server_fills_in_are_not_what_the_user_says() -> None:
    filled = {"name": "mlp", "ropeBase": 10000, "normEpsilon": 0.00001, "tieEmbeddings": True}
    assert condition(made(training_job(model=filled)), ConditionType.ACCEPTED)[0] == "True"


def test_exit_codes_are_sorted_in_the_job_itself() -> None:
    spec = children(made())["Job"]["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob", "Ignore"]
    assert rules[1]["onExitCodes"]["values"] == [1, 2, 42]
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (3, "Failed")
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec


def test_a_job_that_is_there_is_never_rendered_anew() -> None:
    job = training_job()
    there = seen(trainer_pod())
    profiles = settings().accelerators
    newer = {kind: replace(item, trainer_image="newer") for kind, item in profiles.items()}
    again = plan(job, there, settings(accelerators=newer), NOW)
    for child in again.children or ():
        (before,) = (item for item in there.children if item["kind"] == child["kind"])
        assert not differs(child, before)


def test_a_pause_changes_nothing_but_suspend() -> None:
    job = training_job(suspend=True)
    paused = made(job, seen(trainer_pod(), job=training_job()))
    wanted = children(paused)["Job"]
    before = children(made(training_job(), seen()))["Job"]
    assert wanted["spec"]["suspend"] is True
    assert wanted["spec"] | {"suspend": False} == before["spec"]
    assert condition(paused, ConditionType.SUSPENDED) == ("True", Reason.SUSPENDED)
    assert paused.status.summary.stage == "Suspended"


def test_a_queued_job_is_created_suspended_and_left_to_its_queue() -> None:
    job = training_job(queueName="research")
    first = children(made(job))["Job"]
    assert first["spec"]["suspend"] is True
    assert first["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    there = tuple(applied(child) for child in made(job).children or ())
    waiting = made(job, observed_training(children=there))
    assert condition(waiting, ConditionType.ADMITTED) == ("False", Reason.QUEUED)
    assert waiting.status.start_time is None
    let_in = tuple(_unsuspended(child) for child in there)
    admitted = made(job, observed_training(children=let_in, pods=(trainer_pod(),)))
    assert condition(admitted, ConditionType.ADMITTED) == ("True", Reason.ADMITTED)
    assert "suspend" not in children(admitted)["Job"]["spec"]
    assert not differs(children(admitted)["Job"], let_in[-1])


def test_a_pause_of_a_queued_job_takes_the_job_away_and_writes_no_suspend() -> None:
    job = training_job(queueName="research", suspend=True)
    there = tuple(
        applied(child) for child in made(training_job(queueName="research")).children or ()
    )
    paused = made(job, observed_training(children=there, pods=(trainer_pod(),)))
    assert set(children(paused)) == {"ConfigMap"}
    resumed = training_job(queueName="research")
    leaving = made(resumed, observed_training(pods=(trainer_pod(),)))
    assert "Job" not in children(leaving), "two Pods may not write to one folder"
    assert "Job" in children(made(resumed, observed_training(pods=(trainer_pod(code=143),))))


def _unsuspended(child: Manifest) -> Manifest:
    """A Job that Kueue let in: it took `suspend` over."""
    if child["kind"] != "Job":
        return child
    (entry,) = child["metadata"]["managedFields"]
    fields = entry["fieldsV1"]
    spec = {name: value for name, value in fields["f:spec"].items() if name != "f:suspend"}
    metadata = child["metadata"] | {
        "managedFields": [entry | {"fieldsV1": fields | {"f:spec": spec}}]
    }
    return child | {"metadata": metadata, "spec": child["spec"] | {"suspend": False}}


def test_progress_is_shown_at_once_for_a_stage_and_every_five_seconds_for_numbers() -> None:
    job = training_job()
    pods = (trainer_pod(),)
    name = pods[0]["metadata"]["name"]
    first = made(job, seen(*pods, progress={name: said(step=10, loss=2.34567, total_steps=100)}))
    assert first.status.progress is not None
    assert (first.status.progress.step, first.status.progress.loss) == (10, 2.346)
    assert first.status.summary.step == "10/100"

    def later(seconds: float, **members: Any) -> Plan[TrainingJobStatus]:
        line = said(updated_at=NOW + seconds * SECOND, **members)
        return made(
            training_job(status=first.status),
            seen(*pods, progress={name: line}, turn=NOW + 5 * SECOND),
            seconds * SECOND,
        )

    held = later(3, step=40)
    assert held.status.progress == first.status.progress
    assert held.requeue_after == 2.5 * SECOND
    due = later(4.8, step=60)
    assert due.status.progress is not None
    assert due.status.progress.step == 60
    moved = later(1, step=20, stage=StageName.EVALUATE, done=(StageName.TRAIN,))
    assert moved.status.progress is not None
    assert moved.status.progress.stage is StageName.EVALUATE
    assert EventReason.STAGE_STARTED in {event.reason for event in moved.events}


def test_a_run_that_moves_to_a_node_whose_clock_is_behind_is_shown_further() -> None:
    first, second = trainer_pod(1), trainer_pod(2)
    behind = NOW - timedelta(minutes=10)

    def told(status: Any, step: int, at: Any, *pods: Manifest) -> Plan[TrainingJobStatus]:
        line = said(step=step, updated_at=at)
        progress = {pods[-1]["metadata"]["name"]: line}
        return made(training_job(status=status), seen(*pods, progress=progress))

    before = told(None, 60, NOW, first).status
    moved = told(before, 50, behind, first, second).status
    further = told(moved, 51, behind + SECOND, first, second).status
    again = told(further, 50, behind, first, second).status
    steps = [item.progress.step for item in (before, moved, further, again) if item.progress]
    assert steps == [60, 50, 51, 51]


def test_a_run_that_ends_before_it_is_read_shows_what_it_said_last() -> None:
    result = Result(exit_code=0, done=(StageName.TRAIN,), step=20)
    pod = trainer_pod(code=0, result=result)
    over = finished("Complete", pod)
    unread = made(seen=over).status
    assert unread.summary.step == ""
    line = said(StageName.EXPORT, step=20, total_steps=20, epoch=1, total_epochs=1, loss=0.25)
    read = replace(over, progress={pod["metadata"]["name"]: line})
    status = made(training_job(status=unread), read).status
    assert status.progress is not None
    assert status.progress.step == 20
    summary = status.summary
    assert (summary.epoch, summary.step, summary.loss) == ("1/1", "20/20", "0.25")
    assert summary.stage == "Complete"


def test_a_complete_job_registers_what_was_proven() -> None:
    artifact = Artifact(
        name="Q8_0",
        path="export/m-Q8_0.gguf",
        type=ArtifactType.Q8_0,
        sha256="a" * 64,
        size_bytes=10,
        parity=Parity(ids_equal=True, nmse=1e-7, positions=256),
    )
    result = Result(exit_code=0, metrics={"perplexity": 12.3456}, artifacts=(artifact,))
    end = made(
        training_job(**LANGUAGE, export={"types": ["Q8_0"]}),
        finished("Complete", trainer_pod(code=0, reason="Completed", result=result)),
    )
    assert condition(end, ConditionType.COMPLETE) == ("True", Reason.COMPLETE)
    assert condition(end, ConditionType.PARITY_VERIFIED) == ("True", Reason.VERIFIED)
    (registered,) = end.status.artifacts
    assert registered.uri == "pvc://runs/mnist/export/m-Q8_0.gguf"
    assert end.status.summary.metric == "ppl 12.35"
    assert end.status.completion_time == NOW


def test_nothing_unverified_is_registered() -> None:
    artifact = Artifact(name="F16", path="x", type=ArtifactType.F16, sha256="a" * 64, size_bytes=1)
    result = Result(exit_code=0, artifacts=(artifact,))
    end = made(
        training_job(**LANGUAGE, export={"types": ["F16"], "verify": False}),
        finished("Complete", trainer_pod(code=0, result=result)),
    )
    assert end.status.artifacts == ()
    assert condition(end, ConditionType.PARITY_VERIFIED) == ("False", Reason.NOT_VERIFIED)


@pytest.mark.parametrize(
    ("reason", "expected"), [(reason, Reason(reason.value)) for reason in FailureReason]
)
def test_the_trainers_own_reason_is_the_jobs(reason: FailureReason, expected: Reason) -> None:
    pod = trainer_pod(code=42, result=failure(reason, "spec.x: wrong"))
    end = made(seen=finished("Failed", pod, reason="PodFailurePolicy"))
    found = find(end.status.conditions, ConditionType.FAILED)
    assert found is not None
    assert (found.status, found.reason, found.message) == ("True", expected, "spec.x: wrong")


def test_the_cause_is_told_and_not_what_other_ranks_suffered_from_it() -> None:
    cause = trainer_pod(1, code=42, rank=1, result=failure(FailureReason.NON_FINITE_LOSS))
    rest = trainer_pod(2, code=75, rank=0, result=failure(FailureReason.RANK_LOST))
    end = made(seen=finished("Failed", cause, rest))
    assert condition(end, ConditionType.FAILED) == ("True", Reason.NON_FINITE_LOSS)


def test_a_jobs_end_waits_for_its_pods_end_but_not_for_long() -> None:
    early = made(seen=finished("Complete", trainer_pod()))
    assert condition(early, ConditionType.COMPLETE)[0] == "False"
    assert early.requeue_after == timedelta(seconds=0.5)
    late = made(seen=finished("Complete", trainer_pod()), after=timedelta(seconds=6))
    assert condition(late, ConditionType.COMPLETE)[0] == "True"


def test_disruptions_and_deletions_are_ignored_and_failures_are_counted_once() -> None:
    pods = (
        trainer_pod(1, code=137, conditions=[DISRUPTED]),
        trainer_pod(2, code=143),
        trainer_pod(3, code=75),
        trainer_pod(4, code=137),
        trainer_pod(5),
    )
    once = made(seen=seen(*pods))
    assert (once.status.retries.counted, once.status.retries.ignored) == (2, 2)
    reasons = [attempt.reason for attempt in once.status.lineage.attempts]
    assert reasons == [
        Reason.DISRUPTED,
        Reason.INTERRUPTED,
        Reason.POD_FAILED,
        Reason.KILLED,
        None,
    ]
    again = made(training_job(status=once.status), seen(*pods))
    assert again.status.retries == once.status.retries
    assert [event for event in again.events if event.reason is EventReason.ATTEMPT_ENDED] == []
    gone = made(training_job(status=once.status), seen())
    assert gone.status.retries.ignored == 3


def lost(number: int) -> Manifest:
    """A Pod of rank 0 that lost rank 1, after 30 s."""
    return trainer_pod(number, code=76, rank=0, result=failure(FailureReason.RANK_LOST))


def other(number: int, **members: Any) -> Manifest:
    """The Pod of rank 1 beside it."""
    pod = trainer_pod(number, rank=1, **members)
    return pod | {"metadata": pod["metadata"] | {"name": f"mnist-1-1-{number}"}}


def test_an_attempt_whose_other_rank_was_taken_away_does_not_count() -> None:
    job = training_job(nodes=2, backoffLimit=0)
    pods = (
        *(lost(1), other(1, code=137, conditions=[DISRUPTED])),
        *(lost(2), other(2, code=143)),
        lost(3),  # nothing is left of the other: nodes that are gone take their Pods along
        *(lost(4), other(4, conditions=[DISRUPTED])),
        *(trainer_pod(5, rank=0), other(5)),
    )
    status = made(job, seen(*pods, job=job)).status
    assert (status.retries.counted, status.retries.ignored) == (0, 4)
    assert {item.reason for item in status.lineage.attempts[:4]} == {Reason.DISRUPTED}
    assert "rank 1" in (status.lineage.attempts[0].message or "")
    assert status.summary.stage == "Starting"


def test_a_lost_rank_is_judged_once_it_is_known_how_it_ended() -> None:
    job = training_job(nodes=2)
    out_of_sight = made(job, seen(lost(1), other(1), trainer_pod(2, rank=0), job=job))
    assert (out_of_sight.status.retries.counted, out_of_sight.status.retries.ignored) == (0, 0)
    assert out_of_sight.status.lineage.attempts[0].finished_at is None
    job = training_job(nodes=2, status=out_of_sight.status)
    for there, expected in (
        (other(1, conditions=[DISRUPTED]), (0, 1)),
        (other(1, code=75, result=failure(FailureReason.DISK_FULL)), (1, 0)),
    ):
        known = made(job, seen(lost(1), there, trainer_pod(2, rank=0), job=job)).status
        assert (known.retries.counted, known.retries.ignored) == expected


def test_a_run_whose_other_rank_has_no_room_says_so_although_its_first_pod_runs() -> None:
    job = training_job(nodes=2)
    full = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/2 nodes are available",
    }
    waiting = other(1, phase="Pending", conditions=[full])
    waits = made(job, seen(trainer_pod(1, rank=0), waiting, job=job))
    found = find(waits.status.conditions, ConditionType.TRAINING)
    assert found is not None
    assert (found.status, found.reason) == ("False", Reason.UNSCHEDULABLE)
    assert found.message == "the Pod of rank 1: 0/2 nodes are available"
    assert condition(waits, ConditionType.COMPLETE) == ("False", Reason.UNSCHEDULABLE)
    both = made(job, seen(trainer_pod(1, rank=0), other(1), job=job))
    assert condition(both, ConditionType.COMPLETE) == ("False", Reason.RUNNING)


def test_what_once_kept_a_pod_that_has_ended_from_starting_is_told_no_more() -> None:
    refused = trainer_pod(1, code=137)
    wait = {"reason": "NotAllowed", "message": "no profile of this node runs the image"}
    refused["status"]["containerStatuses"] = [{"name": "trainer", "state": {"waiting": wait}}]
    going = made(seen=seen(refused, trainer_pod(2)))
    assert condition(going, ConditionType.COMPLETE) == ("False", Reason.RUNNING)


@pytest.mark.parametrize("code", [75, 137])
def test_an_end_while_a_run_is_being_paused_does_not_count(code: int) -> None:
    going, pausing = (training_job(nodes=2, backoffLimit=0, suspend=on) for on in (False, True))
    pods = (trainer_pod(1, code=code, rank=0), other(1, phase="Pending"))
    paused = made(pausing, seen(*pods, job=going))
    assert (paused.status.retries.counted, paused.status.retries.ignored) == (0, 0)
    assert condition(paused, ConditionType.COMPLETE) == ("False", Reason.SUSPENDED)
    again = made(
        training_job(nodes=2, backoffLimit=0, status=paused.status), seen(*pods, job=going)
    )
    assert again.status.retries.counted == 0


def test_several_pods_that_fail_together_are_one_failure() -> None:
    job = training_job(nodes=2, backoffLimit=1)
    rules = children(made(job))["Job"]["spec"]["podFailurePolicy"]["rules"]
    assert rules[-1] == {
        "action": "Ignore",
        "onExitCodes": {"containerName": "trainer", "operator": "In", "values": [76, 143]},
    }
    full = failure(FailureReason.DISK_FULL, "no room")
    once = (lost(1), other(1, code=75, result=full), trainer_pod(2, rank=0), other(2))
    going = made(job, seen(*once, job=job))
    assert going.status.retries.counted == 1
    assert condition(going, ConditionType.FAILED)[0] == "False"
    twice = (*once[:2], lost(2), other(2, code=75, result=full), trainer_pod(3, rank=0))
    over = made(job, seen(*twice, job=job))
    assert over.status.retries.counted == 2
    found = find(over.status.conditions, ConditionType.FAILED)
    assert found is not None
    assert (found.status, found.reason, found.message) == ("True", Reason.DISK_FULL, "no room")
    assert children(over)["Job"]["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("ran", [30, 0])
def test_what_the_memory_limit_ended_twice_is_not_tried_a_third_time(ran: int) -> None:
    """Even within the second in which its Pod was made: Kubernetes tells no parts of one."""
    first = trainer_pod(1, code=137, reason="OOMKilled")
    once = made(seen=seen(first, trainer_pod(2)))
    assert condition(once, ConditionType.FAILED)[0] == "False"
    pods = [first, trainer_pod(2, code=137, reason="OOMKilled", ran=ran)]
    twice = made(seen=seen(*pods, trainer_pod(3)))
    assert condition(twice, ConditionType.FAILED) == ("True", Reason.OUT_OF_MEMORY)
    assert children(twice)["Job"]["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("ran", [30, 0])
def test_two_ranks_that_the_memory_limit_ended_at_once_are_one_attempt(ran: int) -> None:
    job = training_job(nodes=2)

    def full(number: int) -> tuple[Manifest, Manifest]:
        ended: dict[str, Any] = {"code": 137, "reason": "OOMKilled", "ran": ran}
        return trainer_pod(number, rank=0, **ended), other(number, **ended)

    once = made(job, seen(*full(1), trainer_pod(2, rank=0), other(2), job=job))
    assert condition(once, ConditionType.FAILED)[0] == "False"
    assert once.status.retries.counted == 1
    twice = made(job, seen(*full(1), lost(2), full(2)[1], job=job))
    assert condition(twice, ConditionType.FAILED) == ("True", Reason.OUT_OF_MEMORY)


def test_an_early_end_is_told_by_its_cause_also_by_an_operator_that_was_killed_within_it() -> None:
    overdue = {"reason": "DeadlineExceeded", "message": "Job was active longer than its deadline"}
    pods = [trainer_pod(number, code=137, reason="OOMKilled") for number in (1, 2)]
    end = made(seen=finished("Failed", *pods, **overdue))
    assert condition(end, ConditionType.FAILED) == ("True", Reason.OUT_OF_MEMORY)
    end = made(
        seen=finished("Failed", trainer_pod(1, code=75), trainer_pod(2, code=143), **overdue)
    )
    assert condition(end, ConditionType.FAILED) == ("True", Reason.DEADLINE_EXCEEDED)


def test_a_deadline_does_not_run_while_a_job_is_suspended() -> None:
    job = training_job(activeDeadlineSeconds=100)
    began = made(job, seen(trainer_pod()))
    assert began.requeue_after == 100 * SECOND
    resting = training_job(activeDeadlineSeconds=100, suspend=True, status=began.status)
    paused = made(resting, seen(job=job), 40 * SECOND)
    assert (paused.status.active_since, paused.status.active_seconds) == (None, 40)
    going = training_job(activeDeadlineSeconds=100, status=paused.status)
    resumed = made(going, seen(trainer_pod()), 1000 * SECOND)
    assert condition(resumed, ConditionType.FAILED)[0] == "False"
    assert resumed.requeue_after == 60 * SECOND
    going = training_job(activeDeadlineSeconds=100, status=resumed.status)
    over = made(going, seen(trainer_pod()), 1060 * SECOND)
    assert condition(over, ConditionType.FAILED) == ("True", Reason.DEADLINE_EXCEEDED)
    assert children(over)["Job"]["spec"]["activeDeadlineSeconds"] == 1


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_terminal_is_terminal_whatever_is_deleted(kind: str) -> None:
    pod = trainer_pod(code=0 if kind == "Complete" else 42, result=Result(exit_code=0))
    end = made(seen=finished(kind, pod))
    rest = made(training_job(status=end.status), observed_training(), timedelta(hours=1))
    assert rest.children == ()
    assert rest.events == ()
    assert rest.status == end.status
    kept = made(training_job(status=end.status), finished(kind, pod))
    assert set(children(kept)) == {"ConfigMap", "Job"}


def test_a_failed_job_runs_again_when_a_new_retry_is_ordered() -> None:
    order = {"puna.dev/retry": "1"}
    pod = trainer_pod(code=42, result=failure(FailureReason.BAD_CONFIG))
    before = made(training_job(annotations=order), finished("Failed", pod))
    assert before.status.retry == "1", "an order from before the failure is none"
    same = made(training_job(annotations=order, status=before.status), finished("Failed", pod))
    assert condition(same, ConditionType.FAILED)[0] == "True"
    anew = made(
        training_job(annotations={"puna.dev/retry": "2"}, status=before.status),
        finished("Failed", pod),
    )
    assert (anew.status.run, anew.status.retry) == (2, "2")
    assert children(anew)["Job"]["metadata"]["name"] == "mnist-2"
    assert condition(anew, ConditionType.FAILED)[0] == "False"
    assert len(anew.status.lineage.attempts) == 1


def test_a_complete_job_takes_no_order() -> None:
    end = made(seen=finished("Complete", trainer_pod(code=0, result=Result(exit_code=0))))
    job = training_job(annotations={"puna.dev/retry": "9"}, status=end.status)
    assert made(job, observed_training()).children == ()


def test_the_parent_is_deleted_when_its_time_is_over() -> None:
    end = made(seen=finished("Complete", trainer_pod(code=0, result=Result(exit_code=0))))
    job = training_job(ttlSecondsAfterFinished=60, status=end.status)
    assert made(job, observed_training(), 59 * SECOND).requeue_after == SECOND
    over = made(job, observed_training(), 60 * SECOND)
    assert over.expired
    assert over.children is None


def test_nodes_find_each_other_by_a_service_or_by_a_file() -> None:
    job = training_job(nodes=3, backoffLimit=1)
    by_service = children(made(job))
    spec = by_service["Job"]["spec"]
    assert (spec["completionMode"], spec["completions"], spec["backoffLimit"]) == ("Indexed", 3, 5)
    assert by_service["Service"]["spec"]["publishNotReadyAddresses"] is True
    found = environment(by_service["Job"])
    assert (found["WORLD_SIZE"], found["MASTER_ADDR"]) == ("3", "mnist-1-0.mnist-1")
    by_file = children(plan(job, observed_training(), settings(training_rendezvous="Volume"), NOW))
    assert "Service" not in by_file
    assert "MASTER_ADDR" not in environment(by_file["Job"])


def test_several_accelerators_are_given_to_a_launcher_which_ends_as_the_run_did() -> None:
    job = training_job(accelerator="cuda", acceleratorCount=4, nodes=2)
    there = children(made(job))["Job"]
    found = environment(there)
    assert (found["PET_NNODES"], found["PET_NPROC_PER_NODE"]) == ("2", "4")
    pod = there["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "puna_trainer.launch"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    rules = there["spec"]["podFailurePolicy"]["rules"]
    assert rules[1]["onExitCodes"]["values"] == [1, 2, 42]
    # Before the Pod itself is killed, and not 30 s after SIGTERM whatever its grace is.
    patience = int(found["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"])
    assert patience == pod["terminationGracePeriodSeconds"] - 10


def test_the_trainers_word_for_a_signal_stands_whatever_the_exit_code() -> None:
    saved = Result(exit_code=143)
    end = made(seen=seen(trainer_pod(1, code=137, result=saved), trainer_pod(2)))
    assert (end.status.retries.counted, end.status.retries.ignored) == (0, 1)
    assert end.status.lineage.attempts[0].reason is Reason.INTERRUPTED


def environment(job: Manifest) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value") for item in container.get("env", ())}


def test_the_grace_period_follows_the_longest_save() -> None:
    note = CheckpointNote(name="step_10", step=10, sha256="b" * 64)
    pods = (trainer_pod(code=42, result=failure(FailureReason.BAD_CONFIG)),)
    line = said(step=10, save_seconds=120.0, latest=note, checkpoints=1)
    there = replace(finished("Failed", *pods), progress={pods[0]["metadata"]["name"]: line})
    end = made(seen=there)
    assert condition(end, ConditionType.CHECKPOINT_VALID)[0] == "True"
    anew = made(training_job(annotations={"puna.dev/retry": "x"}, status=end.status), there)
    pod = children(anew)["Job"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 270


def test_a_run_that_saved_nothing_keeps_the_grace_period_of_its_model() -> None:
    pods = (trainer_pod(code=42, result=failure(FailureReason.BAD_CONFIG)),)
    line = said(step=0, save_seconds=0.0, checkpoints=0)
    there = replace(finished("Failed", *pods), progress={pods[0]["metadata"]["name"]: line})
    end = made(seen=there)
    assert end.status.checkpoints.save_seconds is None


def test_a_checkpoint_is_told_until_an_attempt_says_that_it_is_gone() -> None:
    note = CheckpointNote(name="epoch_1", step=10, sha256="b" * 64)
    first = said(step=10, latest=note, best=note, checkpoints=1)
    end = made(seen=seen(trainer_pod(1), progress={"mnist-1-1": first}))
    assert end.status.checkpoints.latest == note

    pods = (trainer_pod(1, code=143, result=Result(exit_code=143)), trainer_pod(2))
    begun = {"mnist-1-1": first, "mnist-1-2": said(StageName.DATA, updated_at=NOW + SECOND)}
    end = made(training_job(status=end.status), seen(*pods, progress=begun), 10 * SECOND)
    told = end.status.checkpoints
    assert (told.latest, told.best, told.count) == (note, note, 1)

    failed = failure(FailureReason.NON_FINITE_LOSS)
    pods = (pods[0], trainer_pod(2, code=42, result=failed))
    gone = begun | {"mnist-1-2": said(updated_at=NOW + 2 * SECOND, step=10, checkpoints=0)}
    there = replace(finished("Failed", *pods), progress=gone)
    end = made(training_job(status=end.status), there, 20 * SECOND)
    told = end.status.checkpoints
    assert (told.latest, told.best, told.count) == (None, None, 0)
    assert condition(end, ConditionType.FAILED) == ("True", Reason.NON_FINITE_LOSS)
    assert condition(end, ConditionType.CHECKPOINT_VALID) == ("Unknown", Reason.PENDING)


def test_the_first_grace_period_follows_the_model_and_without_its_shape_the_largest() -> None:
    large = {"layers": 24, "width": 1024, "heads": 16, "contextLength": 1024}
    model = large | {"vocabularySize": 32768}
    for spec, seconds in (
        ({}, 60),
        (LANGUAGE, 60),
        (LANGUAGE | {"model": model}, 195),
        (LANGUAGE | {"model": {"uri": "pvc://data/model"}}, 174),
    ):
        pod = children(made(training_job(**spec)))["Job"]["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"dataset": {"uri": "pvc://data/x", "format": "text"}}, "spec.dataset.format: text holds"),
        (LANGUAGE | {"stages": [{"name": "export"}, {"name": "data"}]}, "spec.stages: the order"),
        (
            LANGUAGE | {"nodes": 4, "hyperparameters": {"batchSize": 2}},
            "spec.hyperparameters.batchSize: 2 examples cannot be shared by 4 processes",
        ),
        (
            LANGUAGE
            | {"nodes": 2, "accelerator": "cuda", "acceleratorCount": 4}
            | {"hyperparameters": {"batchSize": 14, "accumulationSteps": 2}},
            "in 2 parts each; use 16",
        ),
        (
            LANGUAGE | {"resources": {"limits": {"memory": "64Mi"}}},
            "spec.resources.limits.memory: weights and the logits",
        ),
        ({"dataset": {"uri": "file:///etc/x", "format": "idx"}}, "PUNA_MODEL_FOLDERS"),
        (
            {"dataset": {"uri": "http://10.0.0.1/x", "format": "idx", "sha256": "0" * 64}},
            "PUNA_ALLOWED_NETWORKS",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_said_before_any_pod(spec: Any, words: str) -> None:
    refused = made(training_job(**spec))
    found = find(refused.status.conditions, ConditionType.ACCEPTED)
    assert found is not None
    assert found.status == "False"
    assert words in found.message
    assert refused.children is None
    assert refused.status.summary.stage == "Blocked"
    assert [event.reason for event in refused.events] == [EventReason.REFUSED]


def test_a_batch_that_is_not_shared_or_holds_images_may_be_small() -> None:
    few: dict[str, Any] = {"nodes": 4, "hyperparameters": {"batchSize": 2}}
    for spec in (few, LANGUAGE | few | {"stages": [{"name": "data"}]}):
        assert condition(made(training_job(**spec)), ConditionType.ACCEPTED)[0] == "True"


def test_a_missing_claim_is_waited_for() -> None:
    waiting = made(seen=ObservedTraining())
    assert condition(waiting, ConditionType.RESOLVED_REFS) == (
        "False",
        Reason.VOLUME_CLAIM_NOT_FOUND,
    )
    assert waiting.requeue_after == timedelta(seconds=10)


OWN_VOLUME = {"volumeClaimTemplate": {"size": "20Gi"}}


def test_a_volume_is_made_before_what_writes_to_it_and_kept_whatever_is_deleted() -> None:
    job = training_job(output=OWN_VOLUME)
    result = made(job, observed_training(claims={"data": {}}))
    claim, *others = result.children or ()
    assert (claim["kind"], claim["metadata"]["name"]) == ("PersistentVolumeClaim", "mnist-output")
    assert claim["metadata"]["ownerReferences"] == []
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    volumes = others[-1]["spec"]["template"]["spec"]["volumes"]
    assert {"persistentVolumeClaim": {"claimName": "mnist-output"}}.items() <= volumes[1].items()


def test_a_volume_that_goes_with_its_job_is_owned_like_every_child_and_never_pruned() -> None:
    template = OWN_VOLUME["volumeClaimTemplate"] | {"whenDeleted": "Delete"}
    for spec in ({}, {"suspend": True}, {"suspend": True, "queueName": "research"}):
        job = training_job(output={"volumeClaimTemplate": template}, **spec)
        claim = children(made(job, observed_training(claims={"data": {}})))["PersistentVolumeClaim"]
        assert "ownerReferences" not in claim["metadata"]


def test_data_may_lie_in_the_volume_that_is_made() -> None:
    job = training_job(
        output=OWN_VOLUME, dataset={"uri": "pvc://mnist-output/data", "format": "idx"}
    )
    assert made(job, observed_training(claims={})).children


def test_somebody_elses_claim_is_not_written_to() -> None:
    held = ObjectKey("v1", "PersistentVolumeClaim", NAMESPACE, "mnist-output")
    seen = observed_training(claims={"data": {}}, foreign=frozenset({held}))
    result = made(training_job(output=OWN_VOLUME), seen)
    assert result.children is None
    assert condition(result, ConditionType.ACCEPTED) == ("False", Reason.NAME_CONFLICT)


def test_a_status_that_is_stored_is_read_as_it_was() -> None:
    status = made(seen=seen(trainer_pod(), progress={})).status
    assert TrainingJobStatus.model_validate(json.loads(json.dumps(status.to_dict()))) == status
