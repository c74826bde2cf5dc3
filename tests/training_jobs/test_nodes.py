"""Runs of several Pods, and a node that is lost, on a real Job controller."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from puna.training.outcome import rank_of
from puna_cli.cluster.install import install
from puna_cli.report import Report, Step
from puna_trainer.exits import FailureReason
from tests.cluster import ControlPlane, start_control_plane
from tests.node.agents import AgentProcess
from tests.node.test_lost_node import running_controllers
from tests.operator_process import operator
from tests.training_jobs.conftest import UNSERVED, WAITS, Lab, ended, new_lab, new_node
from tests.trainings import failure

pytestmark = pytest.mark.api
DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}


@pytest.mark.usefixtures("running")
def test_pods_of_one_run_know_who_they_are(lab: Lab) -> None:
    lab.start(nodes=2, hyperparameters={"maxSteps": 3}, checkpoint={"everySteps": 1})
    lab.until_ended("Complete")
    pods = lab.pods()
    assert len(pods) == 2
    ranks = {pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in pods}
    assert ranks == {"0", "1"}
    names = [item["name"] for item in pods[0]["spec"]["containers"][0]["env"]]
    assert {"WORLD_SIZE", "JOB_COMPLETION_INDEX", "POD_IP"} <= set(names)
    assert len(lab.status()["lineage"]["attempts"]) == 1


@pytest.mark.usefixtures("running")
def test_a_node_that_is_lost_is_no_failure_and_a_failure_of_two_pods_is_one(lab: Lab) -> None:
    lab.start(nodes=2, backoffLimit=0, nodeSelector=UNSERVED)
    for number in (1, 2):
        lab.until(partial(_has_pairs, lab, number), f"the Pods of attempt {number}")
        time.sleep(1.1)  # times of Kubernetes are whole seconds, and no trainer ends within one
        first, second = sorted(lab.pods()[-2:], key=rank_of)
        if number == 1:
            ended(lab, second, 137, conditions=[DISRUPTED])
        else:
            ended(lab, second, 75, result=failure(FailureReason.DISK_FULL))
        ended(lab, first, 76, result=failure(FailureReason.RANK_LOST))
    assert lab.until_ended("Failed") == "DiskFull"
    status = lab.status()
    assert status["retries"] == {"counted": 1, "ignored": 1}
    assert status["lineage"]["attempts"][0]["reason"] == "Disrupted"


def _has_pairs(lab: Lab, count: int) -> bool:
    pods = lab.pods()
    return len(pods) == 2 * count and {rank_of(pod) for pod in pods[-2:]} == {0, 1}


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that gives a node up after 3 s."""
    plane = start_control_plane(tmp_path / "plane")
    step = Step(Report(Console(quiet=True)).console, "test")
    install(plane.paths, plane.state, plane.kubectl_binary, {}, step)
    with running_controllers(plane, tmp_path / "controllers.log"):
        yield plane
    plane.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    path = Path(tempfile.mkdtemp(prefix="pt-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_a_run_goes_on_elsewhere_when_its_node_is_lost(
    impatient: ControlPlane, folder: Path, tmp_path: Path
) -> None:
    nodes = [started(impatient, folder, name) for name in ("first", "second")]
    scope = {"TRAINING_RENDEZVOUS": "Volume"}
    try:
        with (
            new_lab(impatient, nodes[0]) as lab,
            operator(impatient.kubeconfig, tmp_path / "puna.log", **scope),
        ):
            lab.start(backoffLimit=0, orders=WAITS)
            lab.until_step(3)
            (pod,) = lab.pods()
            lost = next(node for node in nodes if node.node == pod["spec"]["nodeName"])
            lost.kill()
            for process in lost.processes():
                process.kill()
            # Nobody says of a node that is out of sight that its Pods have ended, but its deletion.
            impatient.kubectl("delete", "node", lost.node)
            lab.until_ended("Complete", seconds=150)
            status = lab.status()
            assert status["retries"] == {"counted": 0, "ignored": 1}
            assert status["lineage"]["attempts"][0]["reason"] == "Disrupted"
            assert status["lineage"]["attempts"][1]["node"] != lost.node
    finally:
        for node in nodes:
            node.end()


def started(plane: ControlPlane, folder: Path, name: str) -> AgentProcess:
    """A node that shares the folder of claims with the other."""
    own = folder / name
    own.mkdir()
    claims = folder / "claims"
    claims.mkdir(exist_ok=True)
    (own / "claims").symlink_to(claims)
    process = new_node(plane, own, name)
    process.start()
    process.wait_ready()
    return process
