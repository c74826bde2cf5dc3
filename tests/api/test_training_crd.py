"""What the API server takes, refuses and keeps of TrainingJobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from puna.api.trainingjob import TrainingJob
from puna.training.plan import plan
from puna_cli.errors import CommandError
from tests.cluster import ControlPlane
from tests.factories import settings
from tests.trainings import LANGUAGE, observed_training, said, trainer_pod, training_job

pytestmark = pytest.mark.api
Node = dict[str, Any]
IMAGES: Node = {
    "task": "ImageClassification",
    "model": {"name": "cnn_mnist"},
    "dataset": {"uri": "pvc://data/mnist", "format": "idx"},
    "output": {"persistentVolumeClaim": {"claimName": "runs"}},
    "accelerator": "cpu",
}
TEXTS: Node = IMAGES | LANGUAGE


def job(name: str = "mnist", base: Node = IMAGES, **spec: Any) -> Node:
    """A valid TrainingJob; a member that is None is left out."""
    whole = {key: value for key, value in (base | spec).items() if value is not None}
    return {
        "apiVersion": TrainingJob.api_version,
        "kind": TrainingJob.kind,
        "metadata": {"name": name},
        "spec": whole,
    }


def text(**spec: Any) -> Node:
    return job("tiny", TEXTS, **spec)


def shape(**members: Any) -> Node:
    model = {key: value for key, value in (TEXTS["model"] | members).items() if value is not None}
    return text(model=model)


REFUSED = [
    ("no-task", job(task=None), "spec.task", "Required value"),
    ("task", job(task="Regression"), "spec.task", "Unsupported value"),
    (
        "format",
        job(dataset={"uri": "pvc://a/b", "format": "tfrecord"}),
        "spec.dataset.format",
        "Uns",
    ),
    ("no-network", job(model={}), "spec.model.name", "required for ImageClassification"),
    ("network", job(model={"name": "vgg"}), "spec.model.name", "Unsupported value"),
    ("name-of-texts", shape(name="mlp"), "spec.model.name", "is for ImageClassification"),
    ("no-width", shape(width=None), "spec.model.width", "required for a LanguageModel"),
    ("width", shape(width=250), "spec.model.width", "has to be a multiple of model.heads"),
    (
        "k-quant",
        text(model=TEXTS["model"] | {"width": 288}, export={"types": ["Q4_K_M"]}),
        "spec.model.width",
        "K-quants hold rows of 256",
    ),
    ("gguf-of-images", job(export={"types": ["F16"]}), "spec.export.types", "GGUF holds language"),
    (
        "accumulation",
        job(hyperparameters={"batchSize": 10, "accumulationSteps": 3}),
        "spec.hyperparameters.accumulationSteps",
        "divisor of batchSize",
    ),
    (
        "rate",
        job(hyperparameters={"learningRate": 0}),
        "spec.hyperparameters.learningRate",
        "greater",
    ),
    ("count", job(acceleratorCount=2), "spec.acceleratorCount", "is for cuda alone"),
    ("metal-nodes", job(accelerator="metal", nodes=2), "spec.nodes", "has one node"),
    (
        "claim",
        job(dataset={"uri": "pvc://Data/x", "format": "idx"}),
        "spec.dataset.uri",
        "expected",
    ),
    ("parent", job(dataset={"uri": "pvc://d/../x", "format": "idx"}), "spec.dataset.uri", "'..'"),
    (
        "no-sha",
        job(dataset={"uri": "https://x/y", "format": "idx"}),
        "spec.dataset.sha256",
        "require",
    ),
    ("no-output", job(output=None), "spec.output", "Required value"),
    ("output-path", job(output=IMAGES["output"] | {"path": "../x"}), "spec.output.path", "match"),
    ("backoff", job(backoffLimit=21), "spec.backoffLimit", "less than or equal to 20"),
    ("keep", job(checkpoint={"keep": 1}), "spec.checkpoint.keep", "greater than or equal to 2"),
    ("name", job("Mnist.1"), "metadata.name", "children are named after a TrainingJob"),
    (
        "no-output",
        job(output={"path": "a"}),
        "spec.output",
        "needs either persistentVolumeClaim or",
    ),
    (
        "two-outputs",
        job(output=IMAGES["output"] | {"volumeClaimTemplate": {"size": "1Gi"}}),
        "spec.output",
        "needs either persistentVolumeClaim or",
    ),
    (
        "no-size",
        job(output={"volumeClaimTemplate": {}}),
        "spec.output.volumeClaimTemplate.size",
        "Required value",
    ),
    (
        "one-writer",
        job(output={"volumeClaimTemplate": {"size": "1Gi"}}, nodes=2),
        "spec.output.volumeClaimTemplate.accessModes",
        "use ReadWriteMany",
    ),
    ("typo", job(hyperparameters={"epoch": 3}), "spec.hyperparameters.epoch", "unknown field"),
]


@pytest.mark.parametrize(
    ("resource", "field", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
def test_a_bad_job_is_refused(crds: ControlPlane, resource: Node, field: str, message: str) -> None:
    with pytest.raises(CommandError) as refusal:
        create(crds, resource)
    assert message in str(refusal.value)
    assert field in str(refusal.value)


def create(plane: ControlPlane, resource: Node) -> Node:
    """What the server would store."""
    answer = plane.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"),
        text=json.dumps(resource),
    )
    stored: Node = json.loads(answer)
    return stored


@pytest.mark.parametrize("resource", [job(), text()], ids=["images", "texts"])
def test_the_server_defaults_what_the_models_default(crds: ControlPlane, resource: Node) -> None:
    stored = TrainingJob.model_validate(create(crds, resource))
    written = TrainingJob.model_validate(
        resource | {"metadata": resource["metadata"] | {"namespace": "default"}}
    )
    assert stored.spec == written.spec


CHANGES = [
    ("task", {"task": "LanguageModel"}),
    ("model", {"model": {"name": "mlp"}}),
    ("dataset", {"dataset": {"sha256": "0" * 64}}),
    ("hyperparameters", {"hyperparameters": {"epochs": 9}}),
    ("export", {"export": {"verify": False}}),
    ("output", {"output": {"path": "other"}}),
    ("nodes", {"nodes": 2}),
    ("queueName", {"queueName": "research"}),
    ("resources", {"resources": {"limits": {"cpu": "2"}}}),
    ("stages", {"stages": [{"name": "data"}]}),
]


@pytest.mark.parametrize(("field", "change"), CHANGES, ids=[row[0] for row in CHANGES])
def test_a_run_is_what_it_was_created_as(
    crds: ControlPlane, namespace: str, field: str, change: Node
) -> None:
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(job()))
    patch = json.dumps({"spec": change})
    with pytest.raises(CommandError, match="a run is what it was created as") as refusal:
        crds.kubectl("patch", "-n", namespace, "tj/mnist", "--type=merge", "-p", patch)
    assert f"spec.{field}" in str(refusal.value)


def test_pause_deadline_and_end_of_life_may_change(crds: ControlPlane, namespace: str) -> None:
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(job()))
    for change in ({"suspend": True}, {"activeDeadlineSeconds": 5}, {"ttlSecondsAfterFinished": 0}):
        patch = json.dumps({"spec": change})
        crds.kubectl("patch", "-n", namespace, "tj/mnist", "--type=merge", "-p", patch)


def test_a_whole_status_is_stored_and_read_back_equal(crds: ControlPlane, namespace: str) -> None:
    pod = trainer_pod()
    line = said(step=10, total_steps=20, loss=0.5, epoch=1, val_accuracy=0.5)
    seen = observed_training(pods=(pod,), progress={pod["metadata"]["name"]: line})
    status = plan(training_job(), seen, settings(), datetime(2026, 1, 2, tzinfo=UTC)).status
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(job()))
    crds.kubectl(
        *("patch", "-n", namespace, "tj/mnist", "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": status.to_dict()})),
    )
    stored = json.loads(crds.kubectl("get", "-n", namespace, "tj/mnist", "-o", "json"))
    assert TrainingJob.model_validate(stored).status == status
    columns = crds.kubectl("get", "-n", namespace, "tj", "-o", "wide").splitlines()[0].split()
    assert columns == [
        *("NAME", "STAGE", "EPOCH", "STEP", "LOSS", "METRIC", "ETA", "RETRIES", "UPDATED", "AGE")
    ]
