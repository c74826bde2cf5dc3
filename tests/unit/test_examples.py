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
from puna.api.trainingjob import TrainingJob
from puna.core.plan import Manifest
from puna.endpoint.plan import plan
from puna.training.observed import ObservedTraining
from puna.training.plan import plan as plan_training
from tests.factories import HTTPS_MODEL, NOW, observed, presets, settings
from tests.fake_cluster import FakeCluster
from tests.trainings import complete_job

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
    jobs = [item for item in documents_of(folder) if item["kind"] == "TrainingJob"]
    assert jobs
    for job in jobs:
        made = plan_training(
            TrainingJob.model_validate(job), ObservedTraining(claims={"runs": {}}), settings(), NOW
        )
        found = {item.type: item.status for item in made.status.conditions}
        accepted = (found[ConditionType.ACCEPTED], found[ConditionType.RESOLVED_REFS])
        assert accepted == ("True", "True")
        assert "Job" in {child["kind"] for child in made.children or ()}


def test_the_second_run_of_an_example_becomes_a_canary_and_takes_over() -> None:
    documents = documents_of(ROOT / "examples/06-train-to-canary")
    (endpoint,) = (item for item in documents if item["kind"] == "LLMEndpoint")
    jobs = [item["metadata"] for item in documents if item["kind"] == "TrainingJob"]
    cluster = FakeCluster(LLMEndpoint.model_validate(endpoint), claims={"runs": {}})
    for number, (job, score) in enumerate(zip(jobs, (2.0, 1.8), strict=True)):
        cluster.jobs[job["name"]] = complete_job(
            job["name"],
            digest=str(number),
            number=number,
            labels=job["labels"],
            scores={"bits_per_byte": score},
        )
        cluster.live_through()
    shares = [status.canary.weight for _, status in cluster.written if status.canary]
    assert sorted(set(shares)) == [0, 10, 50]
    stable = cluster.endpoint.status.revisions[0]
    assert stable.lineage is not None
    assert (stable.lineage.job, stable.name) == (
        "tiny-code-2",
        cluster.endpoint.status.stable_revision,
    )


def test_the_trained_model_of_an_example_is_served_once_it_is_verified() -> None:
    documents = documents_of(ROOT / "examples/05-train-a-code-model")
    (job,) = (item for item in documents if item["kind"] == "TrainingJob")
    (endpoint,) = (item for item in documents if item["kind"] == "LLMEndpoint")
    wanted = LLMEndpoint.model_validate(endpoint)
    waiting = plan(wanted, observed(jobs=(TrainingJob.model_validate(job),)), settings(), NOW)
    assert "Deployment" not in {child["kind"] for child in waiting.children or ()}
    assert set(job["spec"]["export"]["types"]) > {
        endpoint["spec"]["model"]["trainingJobRef"]["artifact"]
    }
    seen = observed(jobs=(complete_job("tiny-code"),), claims={"runs": {}})
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
