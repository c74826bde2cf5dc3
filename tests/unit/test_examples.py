"""Every example is planned as it stands, and does what its README says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.reasons import ConditionType
from puna.api.training_status import ArtifactStatus
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Manifest
from puna.endpoint.plan import plan
from puna.training.observed import ObservedTraining
from puna.training.plan import plan as plan_training
from puna_trainer.config.output import ArtifactType
from tests.factories import HTTPS_MODEL, NOW, observed, presets, settings
from tests.fake_cluster import FakeCluster

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))
SERVING = [folder for folder in EXAMPLES if "train" not in folder.name]
TRAINING = [folder for folder in EXAMPLES if "train" in folder.name]
PATCH = re.compile(r"--patch '(\{.*\})'")


def cluster_of(folder: Path) -> FakeCluster:
    """The endpoint of an example with its Presets."""
    documents = documents_of(folder)
    (endpoint,) = (item for item in documents if item["kind"] == "LLMEndpoint")
    named = [Preset.model_validate(item) for item in documents if item["kind"] == "Preset"]
    return FakeCluster(LLMEndpoint.model_validate(endpoint), presets(*named))


def documents_of(folder: Path) -> list[Manifest]:
    """All objects of an example, in the namespace `default`."""
    documents = [
        document
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    for document in documents:
        document["metadata"]["namespace"] = "default"
    return documents


@pytest.mark.parametrize("folder", TRAINING, ids=lambda folder: folder.name)
def test_an_example_of_training_can_be_carried_out(folder: Path) -> None:
    (job,) = (item for item in documents_of(folder) if item["kind"] == "TrainingJob")
    made = plan_training(
        TrainingJob.model_validate(job), ObservedTraining(claims={"runs": {}}), settings(), NOW
    )
    found = {item.type: item.status for item in made.status.conditions}
    assert (found[ConditionType.ACCEPTED], found[ConditionType.RESOLVED_REFS]) == ("True", "True")
    assert "Job" in {child["kind"] for child in made.children or ()}


def test_the_trained_model_of_an_example_is_served_once_it_is_verified() -> None:
    documents = documents_of(ROOT / "examples/05-train-a-code-model")
    (job,) = (item for item in documents if item["kind"] == "TrainingJob")
    (endpoint,) = (item for item in documents if item["kind"] == "LLMEndpoint")
    wanted = LLMEndpoint.model_validate(endpoint)
    waiting = plan(wanted, observed(artifacts={}), settings(), NOW)
    assert "Deployment" not in {child["kind"] for child in waiting.children or ()}
    assert set(job["spec"]["export"]["types"]) > {
        endpoint["spec"]["model"]["trainingJobRef"]["artifact"]
    }
    file = ArtifactStatus(
        name="Q8_0",
        uri="pvc://runs/tiny-code/export/tiny-code-Q8_0.gguf",
        sha256="0" * 64,
        type=ArtifactType.Q8_0,
        size_bytes=1,
    )
    seen = observed(artifacts={"Q8_0": file}, claims={"runs": {}})
    made = plan(wanted, seen, settings(), NOW)
    assert "Deployment" in {child["kind"] for child in made.children or ()}


@pytest.mark.parametrize("folder", SERVING, ids=lambda folder: folder.name)
def test_an_example_can_be_carried_out(folder: Path) -> None:
    cluster = cluster_of(folder)
    seen = observed(presets=cluster.presets, claims={"models": {}})
    made = plan(cluster.endpoint, seen, settings(), NOW)
    found = {item.type: item.status for item in made.status.conditions}
    assert (found[ConditionType.ACCEPTED], found[ConditionType.RESOLVED_REFS]) == ("True", "True")
    assert "Deployment" in {child["kind"] for child in made.children or ()}


def test_the_canary_of_the_example_waits_at_a_tenth_for_promotion() -> None:
    folder = ROOT / "examples/02-canary"
    cluster = cluster_of(folder)
    cluster.edit(model=HTTPS_MODEL)  # instead of a claim, which this cluster does not have
    cluster.settle()
    stable, before = cluster.endpoint.status.stable_revision, dict(cluster.pods)
    (patch,) = PATCH.findall((folder / "README.md").read_text(encoding="utf-8"))
    cluster.edit(**json.loads(patch)["spec"])
    cluster.live_through()
    canary = cluster.endpoint.status.canary
    assert canary is not None
    assert cluster.weights() == {stable: 90, canary.revision: 10}
    assert cluster.pods == before
    cluster.annotate(promote=canary.revision)
    cluster.settle()
    assert cluster.weights() == {canary.revision: 100}
