"""Kueue's custom resources are there, its part is played by hand: it alone writes `suspend`."""

from __future__ import annotations

import pytest

from tests.cluster import ControlPlane
from tests.training_jobs.conftest import WAITS, Lab
from tests.training_jobs.kueue import definitions, queue

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("running", "research")]


@pytest.fixture(scope="module")
def kueue(controlled_plane: ControlPlane) -> None:
    """Kueue's custom resources."""
    controlled_plane.apply(*definitions())
    names = [f"crd/{item['metadata']['name']}" for item in definitions()]
    controlled_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture
def research(kueue: None, lab: Lab) -> None:  # noqa: ARG001 - has to be there first
    """A queue of the test's namespace."""
    lab.plane.apply(*queue(lab.namespace))


def suspend(lab: Lab, *, value: bool) -> None:
    """Write `suspend` as Kueue does."""
    patch = f'{{"spec":{{"suspend":{str(value).lower()}}}}}'
    lab.kubectl(*("patch", "job", "mnist-1", "--type=merge", "--field-manager=kueue", "-p", patch))


def test_a_queue_lets_a_run_in_takes_it_out_and_lets_it_in_again(lab: Lab) -> None:
    lab.start(queueName="research", orders=WAITS)
    lab.until(lambda: lab.condition("Admitted")[1] == "Queued", "the run to be queued")
    (job,) = lab.jobs()
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
    assert job["spec"]["suspend"] is True
    assert lab.status()["summary"]["stage"] == "Queued"
    suspend(lab, value=False)
    lab.until(lambda: lab.condition("Admitted")[1] == "Admitted", "the run to be admitted")
    lab.until_step(4)
    suspend(lab, value=True)
    lab.until(lambda: lab.condition("Suspended")[1] == "Queued", "the run to be taken out")
    lab.until(lambda: not lab.pods(), "its Pod to end")
    step = lab.state()["step"]
    suspend(lab, value=False)
    lab.until_ended("Complete")
    assert [item["from"] for item in lab.state()["attempts"]] == [0, step]
    (job,) = lab.jobs()
    managers = {
        entry["manager"]
        for entry in job["metadata"]["managedFields"]
        if "f:suspend" in entry.get("fieldsV1", {}).get("f:spec", {})
    }
    assert managers == {"kueue"}
    assert lab.status()["retries"] == {"counted": 0, "ignored": 0}


def test_a_users_pause_of_a_queued_run_leaves_suspend_alone(lab: Lab) -> None:
    lab.start(queueName="research", orders=WAITS)
    lab.until(lambda: len(lab.jobs()) == 1, "the Job")
    suspend(lab, value=False)
    lab.until_step(3)
    lab.kubectl("patch", "tj", "mnist", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    lab.until(lambda: not lab.jobs() and not lab.pods(), "Job and Pod to go")
    assert lab.condition("Suspended")[:2] == ("True", "Suspended")
    lab.kubectl("patch", "tj", "mnist", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    lab.until(lambda: len(lab.jobs()) == 1, "a new Job")
    assert lab.jobs()[0]["spec"]["suspend"] is True
    suspend(lab, value=False)
    lab.until_ended("Complete")
    assert len(lab.state()["attempts"]) == 2
