"""The example from training to a canary, made small: two files are applied, the rest is watched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import LocalCluster
from tests.e2e.models import Models
from tests.e2e.notes import note
from tests.e2e.objects import Manifest, Objects
from tests.e2e.stage import Stage
from tests.e2e.tiny_language_model import copy_modules, smaller_example
from tests.e2e.traffic import Load, failures, steady
from tests.e2e.training import Training, new_training

pytestmark = pytest.mark.e2e

EXAMPLE = "06-train-to-canary"
HOLD_SECONDS = 2


@pytest.fixture
def training(local_cluster: LocalCluster, objects: Objects) -> Iterator[Training]:
    """A namespace with the data on its volume."""
    made = new_training(local_cluster, objects, "chain")
    copy_modules(made.claim / "code")
    yield made
    made.delete()


def apply(training: Training, folder: Path, file: str, **hyperparameters: Any) -> None:
    """Apply a file of the example, with runs and holds of seconds."""
    documents = smaller_example(EXAMPLE, file, **hyperparameters)
    for document in documents:
        if document["kind"] == "LLMEndpoint":
            for step in document["spec"]["rollout"]["canary"]["steps"]:
                step["holdSeconds"] = HOLD_SECONDS
    manifests = folder / file
    manifests.write_text(yaml.safe_dump_all(documents))
    training.kubectl("apply", "-f", str(manifests))


def stable(stage: Stage) -> Manifest:
    """The revision that serves, as the endpoint's status tells of it."""
    status = (stage.find("code") or {})["status"]
    (found,) = (item for item in status["revisions"] if item["name"] == status["stableRevision"])
    revision: Manifest = found
    return revision


def test_a_run_that_ends_well_takes_over_and_nobody_orders_it(
    training: Training,
    local_cluster: LocalCluster,
    objects: Objects,
    models: Models,
    tmp_path: Path,
) -> None:
    stage = Stage(local_cluster, objects, models, training.namespace)
    apply(training, tmp_path, "first.yaml")
    first = training.until_ended("tiny-code-1", seconds=180)
    stage.wait_ready("code", seconds=90)
    assert stable(stage)["lineage"]["job"] == "tiny-code-1"

    apply(training, tmp_path, "second.yaml", maxSteps=24)
    weights: set[int] = set()

    def taken_over() -> bool:
        canary = (stage.find("code") or {})["status"].get("canary") or {}
        weights.add(canary.get("weight", 0))
        return bool(stable(stage)["lineage"]["job"] == "tiny-code-2")

    with steady(Load(stage.url, model="code", plain=2, pause=0.25)) as traffic:
        second = training.until_ended("tiny-code-2", seconds=180)
        training.until(taken_over, "tiny-code-2", "the second model serves", seconds=120)
    assert failures(traffic.outcomes) == []
    assert {10, 50} <= weights
    note(f"{len(traffic.outcomes)} requests meanwhile, none failed")

    stage.wait_ready("code")
    lineage = stable(stage)["lineage"]
    (artifact,) = (item for item in second["artifacts"] if item["name"] == "Q8_0")
    assert lineage["sha256"] == artifact["sha256"]
    assert lineage["seed"] == 1
    assert lineage["dataHash"] == first["lineage"]["dataHash"]
    assert lineage["scores"]["bits_per_byte"] < first["metrics"]["bits_per_byte"]
    (model,) = stage.read("/v1/models")["data"]
    shown = str(model)
    assert artifact["sha256"] in shown
    assert "tiny-code-2" in shown
    events = {event["reason"] for event in objects.all("Event", stage.namespace)}
    assert {"CanaryAdvanced", "Promoted"} <= events
