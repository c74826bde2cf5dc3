"""Runs of the real trainer that something happens to, beside one that is left alone.

They learn from the first images of MNIST with one thread each, so that they can be compared to the
bit, and are carried out side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import LocalCluster
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, Objects
from tests.e2e.processes import container_process, kill_operator, start_operator
from tests.e2e.training import (
    Training,
    attempts_of,
    copy_some_of_mnist,
    exit_codes,
    new_training,
)

pytestmark = pytest.mark.e2e

EPOCHS = 12
STEPS = EPOCHS * 57
"""Batches of 32: 1800 of 2000 images, the others are held back."""
SPEC: dict[str, Any] = {
    "task": "ImageClassification",
    "model": {"name": "mlp"},
    "dataset": {"uri": "pvc://runs/digits", "format": "idx"},
    "hyperparameters": {
        "epochs": EPOCHS,
        "batchSize": 32,
        # One process computes the parts that two do: how sums are rounded depends on the processor.
        "accumulationSteps": 2,
        "precision": "float32",
        "seed": 1,
    },
    "checkpoint": {"everySteps": 50},
    "output": {"persistentVolumeClaim": {"claimName": "runs"}},
    "accelerator": "cpu",
    # The trainer starts as many threads as the limit says.
    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
}
BEYOND_NUMBERS = SPEC["hyperparameters"] | {
    "learningRate": 100.0, "weightDecay": 1.0, "warmupSteps": 0,
}  # fmt: skip
"""Each step makes the weights about a hundred times as large, until they are no numbers."""


@pytest.fixture(scope="module")
def training(local_cluster: LocalCluster, objects: Objects) -> Iterator[Training]:
    """A namespace with data, and the runs that nobody does anything to under way."""
    made = new_training(local_cluster, objects, "train")
    copy_some_of_mnist(made.claim / "digits", train=2000, test=500)
    made.make_claim()
    made.apply("whole", **SPEC)
    made.apply("pair", **SPEC, nodes=2)
    yield made
    made.delete()


@pytest.fixture(scope="module")
def whole(training: Training) -> Manifest:
    """Status of the run that was left alone."""
    return training.until_ended("whole")


def only_trainer(training: Training, name: str) -> Manifest:
    """The one Pod of a run whose trainer runs."""
    running = [pod for pod in training.pods(name) if pod["status"].get("phase") == "Running"]
    assert len(running) == 1, running
    return running[0]


def test_killed_unobserved_and_paused_a_run_ends_as_if_nothing_had_been(
    training: Training, local_cluster: LocalCluster, whole: Manifest
) -> None:
    training.apply("cut", **SPEC)
    training.until_saved("cut", 150)
    kill_operator(local_cluster)
    container_process(only_trainer(training, "cut"), "trainer").kill()
    start_operator(local_cluster)
    # The Job controller waits before it tries again.
    training.until_saved("cut", 400)
    (job,) = training.jobs("cut")
    training.patch("cut", suspend=True)
    training.until_condition("cut", "Suspended")
    training.until(lambda: not running_pods(training, "cut"), "cut", "its Pod to end")
    assert training.status("cut")["summary"]["stage"] == "Suspended"
    training.patch("cut", suspend=False)
    training.until_ended("cut")
    status = last_words(training, "cut")

    assert exit_codes(status) == [137, 143, 0]
    attempts = attempts_of(status)
    assert [attempt["reason"] for attempt in attempts] == ["Killed", "Interrupted", "Done"]
    first, second, third = (attempt["fromStep"] for attempt in attempts)
    assert first == 0
    assert 150 <= second < 400 <= third == attempts[1]["toStep"]
    assert status["retries"] == {"counted": 1, "ignored": 0}
    (same,) = training.jobs("cut")
    assert same["metadata"]["uid"] == job["metadata"]["uid"], "there is one Job all the time"
    assert training.log("cut") == training.log("whole")
    assert status["artifacts"][0]["sha256"] == whole["artifacts"][0]["sha256"]
    assert status["metrics"] == whole["metrics"]
    events = training.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
    for reason in ("TrainingSuspended", "TrainingResumed", "AttemptEnded"):
        assert reason in events


def last_words(training: Training, name: str) -> Manifest:
    """Status of a run that has ended, once what each attempt said last was read."""

    def read() -> Manifest | None:
        status = training.status(name)
        return status if all("fromStep" in each for each in attempts_of(status)) else None

    return training.until(read, name, "the last lines of all attempts")


def running_pods(training: Training, name: str) -> list[Manifest]:
    """Pods of a run that have not ended."""
    ended = {"Succeeded", "Failed"}
    return [pod for pod in training.pods(name) if pod["status"].get("phase") not in ended]


def test_two_processes_learn_what_one_does(training: Training, whole: Manifest) -> None:
    status = training.until_ended("pair")
    ranks = {
        pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
        for pod in training.pods("pair")
    }
    assert ranks == {"0", "1"}
    one, two = training.losses("whole"), training.losses("pair")
    assert len(one) == STEPS
    note(f"furthest apart: {max(abs(a - b) for a, b in zip(one, two, strict=True)):.2g}")
    assert two == pytest.approx(one, abs=1e-5)
    assert exit_codes(status) == [0]
    accuracies = (each["metrics"]["test_accuracy"] for each in (whole, status))
    assert next(accuracies) == pytest.approx(next(accuracies), abs=0.01)


def test_numbers_that_are_none_end_a_run_at_once_and_keep_what_was_good(
    training: Training,
) -> None:
    chosen = {"hyperparameters": BEYOND_NUMBERS, "checkpoint": {"everySteps": 1}}
    training.apply("diverging", **SPEC | chosen)
    status = training.until_ended("diverging", "Failed")
    failed = training.condition("diverging", "Failed")
    assert failed["reason"] == "NonFiniteLoss"
    assert "learningRate" in failed["message"]
    assert exit_codes(status) == [42]
    assert status["retries"] == {"counted": 1, "ignored": 0}
    assert status["checkpoints"]["latest"]["step"] >= 1
