"""What becomes of a run by its exit code, on a real Job controller."""

from __future__ import annotations

from functools import partial

import pytest

from tests.operator_process import OperatorProcess
from tests.training_jobs.conftest import UNSERVED, WAITS, Lab, ended

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("running")]


def test_a_run_goes_from_data_to_verified_files(lab: Lab, running: OperatorProcess) -> None:
    lab.start()
    assert lab.until_ended("Complete") == "Complete"
    # The last line is read after the end, and told once more.
    lab.until(lambda: lab.status()["summary"]["loss"] == "0.119", "the last loss")
    status = lab.status()
    assert status["summary"] | {"epoch": "", "eta": ""} == {
        "stage": "Complete",
        "epoch": "",
        "step": "20/20",
        "loss": "0.119",
        "metric": "acc 0.9912",
        "eta": "",
    }
    (artifact,) = status["artifacts"]
    assert artifact["uri"] == "pvc://runs/mnist/export/mnist-safetensors.gguf"
    assert status["retries"] == {"counted": 0, "ignored": 0}
    assert status["checkpoints"]["latest"]["name"] == "step_20"
    (attempt,) = status["lineage"]["attempts"]
    assert (attempt["exitCode"], attempt["fromStep"], attempt["toStep"]) == (0, 0, 20)
    columns = lab.kubectl("get", "tj", "mnist").splitlines()
    assert columns[0].split() == [
        *("NAME", "STAGE", "EPOCH", "STEP", "LOSS", "METRIC", "ETA", "AGE")
    ]
    assert "acc 0.9912" in columns[1]
    events = lab.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    for reason in ("TrainingStarted", "StageStarted", "TrainingCompleted"):
        assert reason in events
    series = 'puna_training_jobs{state="Complete"} 1.0'
    lab.until(lambda: series in running.metrics(), "the series to follow")


@pytest.mark.parametrize(
    ("code", "reason"), [(42, "NonFiniteLoss"), (42, "DataCorrupt"), (1, "Bug")]
)
def test_what_would_come_again_fails_at_once(lab: Lab, code: int, reason: str) -> None:
    lab.start(orders=[{"exit": code, "reason": reason, "at": 3}])
    assert lab.until_ended("Failed") == reason
    status = lab.status()
    assert status["retries"] == {"counted": 1, "ignored": 0}
    assert status["checkpoints"]["latest"]["name"] == "step_3", "the last good one is kept"
    assert len(lab.pods()) == 1


def test_what_may_work_again_is_retried_from_the_checkpoint_and_counted(lab: Lab) -> None:
    orders = [{"exit": 75, "reason": "UploadFailed", "at": 3}, {"kill": True, "at": 6}]
    lab.start(orders=orders)
    lab.until_ended("Complete")
    lab.until(
        lambda: all("fromStep" in item for item in lab.status()["lineage"]["attempts"]),
        "the last lines of all attempts",
    )
    status = lab.status()
    assert status["retries"] == {"counted": 2, "ignored": 0}
    attempts = status["lineage"]["attempts"]
    assert [item["exitCode"] for item in attempts] == [75, 137, 0]
    assert [item["reason"] for item in attempts] == ["UploadFailed", "Killed", "Done"]
    assert [item["fromStep"] for item in attempts] == [0, 3, 6]
    assert [item["from"] for item in lab.state()["attempts"]] == [0, 3, 6]


def test_more_failures_than_the_limit_end_it(lab: Lab) -> None:
    lab.start(orders=[{"kill": True, "at": 2}, {"kill": True, "at": 3}], backoffLimit=1)
    assert lab.until_ended("Failed") == "BackoffLimitExceeded"
    assert lab.status()["retries"] == {"counted": 2, "ignored": 0}


def test_a_memory_limit_that_is_reached_twice_ends_it(lab: Lab) -> None:
    lab.start(nodeSelector=UNSERVED)
    for number in (1, 2):
        lab.until(partial(_has_pods, lab, number), f"Pod {number}")
        ended(lab, lab.pods()[-1], 137, reason="OOMKilled")
    assert lab.until_ended("Failed") == "OutOfMemory"
    assert "spec.resources.limits.memory" in lab.condition("Failed")[2]
    status = lab.status()
    assert status["retries"] == {"counted": 2, "ignored": 0}
    attempts = status["lineage"]["attempts"]
    assert [(item["exitCode"], item["reason"]) for item in attempts] == [(137, "OutOfMemory")] * 2
    lab.until(lambda: _has_failed(lab), "the Job to have failed")
    assert len(lab.pods()) == 2


def test_a_deleted_pod_is_no_failure(lab: Lab) -> None:
    lab.start(backoffLimit=0, orders=WAITS)
    lab.until_step(3)
    (pod,) = lab.pods()
    lab.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    lab.until_ended("Complete")
    status = lab.status()
    assert status["retries"] == {"counted": 0, "ignored": 1}
    assert status["lineage"]["attempts"][0]["reason"] in {"Interrupted", "Disrupted"}
    assert len(lab.state()["attempts"]) == 2


def test_an_evicted_pod_is_no_failure(lab: Lab) -> None:
    lab.start(backoffLimit=0, orders=WAITS)
    lab.until_step(3)
    (pod,) = lab.pods()
    name = pod["metadata"]["name"]
    eviction = (
        '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": '
        f'{{"name": "{name}", "namespace": "{lab.namespace}"}}}}'
    )
    path = f"/api/v1/namespaces/{lab.namespace}/pods/{name}/eviction"
    lab.plane.kubectl("create", "--raw", path, "-f", "-", text=eviction)
    lab.until_ended("Complete")
    status = lab.status()
    assert status["retries"] == {"counted": 0, "ignored": 1}
    assert status["lineage"]["attempts"][0]["reason"] == "Disrupted"


def test_a_retry_that_is_ordered_goes_on_from_the_last_checkpoint(lab: Lab) -> None:
    lab.start(orders=[{"exit": 42, "reason": "BadConfig", "at": 5}])
    lab.until_ended("Failed")
    lab.kubectl("annotate", "tj", "mnist", "puna.dev/retry=1")
    lab.until_ended("Complete")
    assert [item["from"] for item in lab.state()["attempts"]] == [0, 5]
    assert [job["metadata"]["name"] for job in lab.jobs()] == ["mnist-2"]


def test_terminal_is_terminal_and_the_ttl_is_the_parents(lab: Lab) -> None:
    lab.start(hyperparameters={"maxSteps": 2}, checkpoint={"everySteps": 1})
    lab.until_ended("Complete")
    lab.kubectl("delete", "job,configmap", "--all")
    lab.kubectl("annotate", "tj", "mnist", "example.org/touched=yes")
    lab.kubectl(
        "patch", "tj", "mnist", "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":9}}'
    )
    generation = lab.job()["metadata"]["generation"]
    lab.until(lambda: lab.status()["observedGeneration"] == generation, "the change to be seen")
    assert lab.jobs() == []
    patch = '{"spec":{"ttlSecondsAfterFinished":1}}'
    lab.kubectl("patch", "tj", "mnist", "--type=merge", "-p", patch)
    lab.until(lambda: lab.job() == {}, "the parent to go")


def test_a_pause_saves_and_goes_on(lab: Lab) -> None:
    lab.start(orders=WAITS)
    lab.until_step(4)
    lab.kubectl("patch", "tj", "mnist", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    lab.until(lambda: lab.condition("Suspended")[0] == "True", "Suspended")
    lab.until(lambda: not lab.pods(), "its Pod to end")
    step = lab.state()["step"]
    lab.kubectl("patch", "tj", "mnist", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    lab.until_ended("Complete")
    assert [item["from"] for item in lab.state()["attempts"]] == [0, step]
    assert lab.status()["retries"] == {"counted": 0, "ignored": 0}


def test_a_deadline_ends_the_pods_and_keeps_job_and_checkpoint(lab: Lab) -> None:
    lab.start(activeDeadlineSeconds=3, orders=WAITS)
    assert lab.until_ended("Failed") == "DeadlineExceeded"
    # A Job itself counts the Pods that it ends; the run is not tried again.
    lab.until(lambda: not _active(lab), "its Pod to end")
    lab.until(lambda: _has_failed(lab), "the Job to have failed")
    assert lab.status()["checkpoints"]["count"] == 1
    assert len(lab.state()["attempts"]) == 1


def _has_pods(lab: Lab, count: int) -> bool:
    return len(lab.pods()) == count


def _has_failed(lab: Lab) -> bool:
    (job,) = lab.jobs()
    return "Failed" in {item["type"] for item in job["status"].get("conditions", ())}


def _active(lab: Lab) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in lab.pods()
        if pod["status"]["phase"] not in {"Succeeded", "Failed"}
    ]
