"""From a training run to traffic: two files are applied, and nobody does anything else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from puna.cluster.resources import ENDPOINTS
from puna.core.plan import Manifest
from puna_cli.errors import CommandError
from tests.operator_process import OperatorProcess
from tests.training_jobs.conftest import Lab

pytestmark = pytest.mark.api
EXAMPLE: Final = Path(__file__).parents[2] / "examples/06-train-to-canary"
SHORT: Final = {
    "hyperparameters": {"maxSteps": 2, "seed": 7},
    "checkpoint": {"everySteps": 1},
    "resources": {},
}
NOWHERE: Final = {"example.org/node": "none"}
"""No node has it: the test says itself that a server is ready."""


def apply(lab: Lab, name: str, measured: dict[str, float]) -> None:
    """Apply a file of the example, made to take seconds; its run is to measure something."""
    for document in yaml.safe_load_all((EXAMPLE / name).read_text()):
        spec: dict[str, Any] = document["spec"]
        if document["kind"] == "PersistentVolumeClaim":
            continue  # this namespace has it
        if document["kind"] == "TrainingJob":
            folder = lab.output(document["metadata"]["name"])
            folder.mkdir(parents=True)
            (folder / "metrics.json").write_text(json.dumps(measured))
            document["spec"] = spec | SHORT
        else:
            spec["nodeSelector"] = NOWHERE
            for step in spec["rollout"]["canary"]["steps"]:
                step["holdSeconds"] = 2
        lab.apply(document)


def status(lab: Lab) -> Manifest:
    found: Manifest = (lab.api.get(ENDPOINTS.path(lab.namespace, "code")) or {}).get("status", {})
    return found


def serve(lab: Lab) -> None:
    """Let every llama-server be ready that exists, and is not gone meanwhile."""
    for pod in lab.pods():
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") != "llama-server":
            continue
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        told = json.dumps({"status": {"phase": "Running", "conditions": [ready]}})
        name = pod["metadata"]["name"]
        try:
            lab.kubectl(
                "patch", "pod", name, "--subresource=status", "--type=merge", f"--patch={told}"
            )
        except CommandError as error:
            if "NotFound" not in str(error):
                raise


def served_by(lab: Lab) -> str | None:
    """Run that made the model of the stable revision, if that has served."""
    seen = status(lab)
    for revision in seen.get("revisions", ()):
        if revision["name"] == seen.get("stableRevision"):
            job: str | None = revision.get("lineage", {}).get("job")
            return job
    return None


def test_a_better_run_takes_over_by_itself_and_a_worse_one_starts_nothing(
    lab: Lab, running: OperatorProcess
) -> None:
    def took_over(job: str, weights: set[int]) -> bool:
        serve(lab)
        canary = status(lab).get("canary")
        if canary is not None:
            weights.add(canary["weight"])
        return served_by(lab) == job and canary is None

    apply(lab, "first.yaml", {"bits_per_byte": 2.0})
    lab.until(lambda: took_over("tiny-code-1", set()), "the first run to be served")
    first = status(lab)["stableRevision"]

    weights: set[int] = set()
    apply(lab, "second.yaml", {"bits_per_byte": 1.8})
    lab.until(lambda: took_over("tiny-code-2", weights), "the second run to be served", 120)
    assert weights >= {10, 50}
    lineages = {item["name"]: item["lineage"] for item in status(lab)["revisions"]}
    second = status(lab)["stableRevision"]
    assert lineages[second]["scores"] == {"bits_per_byte": 1.8}
    assert (lineages[second]["seed"], len(lineages[second]["dataHash"])) == (7, 64)
    assert lineages[first]["job"] == "tiny-code-1"
    (made,) = (item["createdAt"] for item in status(lab)["revisions"] if item["name"] == second)
    waited = datetime.fromisoformat(made) - datetime.fromisoformat(lineages[second]["completedAt"])
    assert waited <= timedelta(seconds=20), "the API server tells whole seconds, of a busy machine"

    folder = lab.output("worse")
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"bits_per_byte": 1.9}))
    (document,) = yaml.safe_load_all((EXAMPLE / "second.yaml").read_text())
    labels = document["metadata"]["labels"]
    lab.apply(
        document
        | {
            "metadata": {"name": "worse", "labels": labels},
            "spec": document["spec"] | SHORT,
        }
    )
    lab.until(
        lambda: any(
            item["type"] == "Progressing" and item["reason"] == "CanaryFailed"
            for item in status(lab).get("conditions", ())
        ),
        "the worse run to be held back",
    )
    (said,) = (
        item["message"] for item in status(lab)["conditions"] if item["type"] == "Progressing"
    )
    assert (
        "bits_per_byte 1.9 of TrainingJob worse is above 1.836 (1.8 of TrainingJob tiny-code-2 +2%)"
        in said
    )
    assert status(lab)["stableRevision"] == second
    lab.kubectl("delete", "trainingjob", "--all", "--wait=true")
    lab.until(lambda: not status(lab).get("canary"), "no canary")
    assert status(lab)["stableRevision"] == second
    assert "traceback=" not in running.text()
