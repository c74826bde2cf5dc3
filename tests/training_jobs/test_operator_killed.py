"""The operator is killed in each stage of a run: nothing runs twice, and nothing is lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.operator_process import start_operator
from tests.training_jobs.conftest import Lab

pytestmark = pytest.mark.api
STAGES = ("data", "train", "evaluate", "export")
STEPS = 20
HALF = STEPS // 2
"""Where the stage of steps is held."""


def tells(lab: Lab, stage: str) -> bool:
    progress = lab.status().get("progress", {})
    is_there = stage != "train" or progress.get("step") == HALF
    return bool(progress.get("stage") == stage and is_there)


def test_an_operator_killed_in_every_stage_makes_no_second_job_and_loses_no_progress(
    lab: Lab, tmp_path: Path
) -> None:
    scope = {"WATCH_NAMESPACE": lab.namespace}
    logs = [tmp_path / f"puna-{number}.log" for number in range(len(STAGES) + 1)]
    process = start_operator(lab.plane.kubeconfig, logs[0], **scope)
    held = [lab.hold(stage) for stage in STAGES]
    lab.start()
    steps = []
    try:
        for stage, hold, log in zip(STAGES, held, logs[1:], strict=True):
            lab.until(partial(tells, lab, stage), f"stage {stage} to be told")
            process.kill()
            before = lab.status()
            steps.append(before["progress"].get("step", 0))
            process = start_operator(lab.plane.kubeconfig, log, **scope)
            lab.until(process.is_working, "the operator to work again")
            after = lab.status()
            assert after["startTime"] == before["startTime"]
            assert after["progress"].get("step", 0) >= before["progress"].get("step", 0)
            hold.unlink()
        lab.until_ended("Complete")
    finally:
        process.stop()
    assert steps == [0, HALF, STEPS, STEPS]
    (job,) = lab.jobs()
    (pod,) = lab.pods()
    assert job["metadata"]["generation"] == 1, "what is there is not written again"
    assert pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert lab.state()["attempts"] == [{"from": 0}]
    status = lab.status()
    assert status["retries"] == {"counted": 0, "ignored": 0}
    assert len(status["lineage"]["attempts"]) == 1
    assert all("traceback=" not in log.read_text() for log in logs)


def test_an_operator_killed_before_a_job_is_seen_makes_it_once(lab: Lab, tmp_path: Path) -> None:
    lab.start(hyperparameters={"maxSteps": 3}, checkpoint={"everySteps": 1})
    for number in range(4):
        process = start_operator(
            lab.plane.kubeconfig, tmp_path / f"{number}.log", WATCH_NAMESPACE=lab.namespace
        )
        lab.until(process.is_working, "the operator to work")
        process.kill()
    process = start_operator(
        lab.plane.kubeconfig, tmp_path / "last.log", WATCH_NAMESPACE=lab.namespace
    )
    try:
        lab.until_ended("Complete")
    finally:
        process.stop()
    assert len(lab.jobs()) == 1
    assert lab.state()["attempts"] == [{"from": 0}]
