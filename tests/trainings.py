"""Valid minimal TrainingJobs, their Jobs and Pods, and what is observed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from puna.api.conditions import Condition
from puna.api.reasons import ConditionType, Reason
from puna.api.training_status import ArtifactStatus, Lineage, TrainingJobStatus
from puna.api.trainingjob import TrainingJob
from puna.core.naming import training_labels
from puna.core.plan import Manifest
from puna.training.observed import ObservedTraining
from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.exits import EXIT_OF, FailureReason
from puna_trainer.progress import Progress, Result
from tests.factories import CREATED, NAMESPACE, NOW

NAME = "mnist"
UID = "22222222-2222-2222-2222-222222222222"
JOB_UID = "33333333-3333-3333-3333-333333333333"
CLAIM = "runs"
LANGUAGE: dict[str, Any] = {
    "task": "LanguageModel",
    "model": {
        "layers": 2,
        "width": 256,
        "heads": 4,
        "contextLength": 128,
        "vocabularySize": 1024,
    },
    "dataset": {"uri": "pvc://data/code", "format": "text"},
}


def training_job(
    *,
    name: str = NAME,
    generation: int = 1,
    annotations: Mapping[str, str] | None = None,
    status: Any = None,
    **spec: Any,
) -> TrainingJob:
    """A job that classifies images on a processor; keywords are members of its spec."""
    minimal: dict[str, Any] = {
        "task": "ImageClassification",
        "model": {"name": "cnn_mnist"},
        "dataset": {"uri": "pvc://data/mnist", "format": "idx"},
        "output": {"persistentVolumeClaim": {"claimName": CLAIM}},
        "accelerator": "cpu",
    }
    job = TrainingJob.model_validate(
        {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": UID,
                "generation": generation,
                "creationTimestamp": CREATED.isoformat(),
                "annotations": dict(annotations or {}),
            },
            "spec": minimal | spec,
        }
    )
    return job if status is None else job.model_copy(update={"status": status})


def complete_job(
    name: str = "tiny",
    *,
    digest: str = "a",
    number: int = 1,
    labels: Mapping[str, str] | None = None,
    artifact: ArtifactType = ArtifactType.Q8_0,
    scores: Mapping[str, float] | None = None,
) -> TrainingJob:
    """A language model's run that is complete; `number` orders runs by the hour of their birth."""
    created = CREATED + timedelta(hours=number)
    file = ArtifactStatus(
        name=artifact,
        uri=f"pvc://{CLAIM}/{name}/export/{name}-{artifact}.gguf",
        sha256=digest * 64,
        type=artifact,
        size_bytes=1,
    )
    condition = Condition(
        type=ConditionType.COMPLETE,
        status="True",
        reason=Reason.COMPLETE,
        last_transition_time=created,
    )
    status = TrainingJobStatus(
        conditions=(condition,),
        completion_time=created + timedelta(minutes=10),
        metrics=dict(scores or {"perplexity": 12.5}),
        artifacts=(file,),
        lineage=Lineage(seed=number, data_hash="d" * 64, tokenizer_hash="e" * 64),
    )
    job = training_job(name=name, status=status, **LANGUAGE)
    metadata = {
        "uid": f"uid-{name}-{number}",
        "creation_timestamp": created,
        "labels": dict(labels or {}),
    }
    return job.model_copy(update={"metadata": job.metadata.model_copy(update=metadata)})


def observed_training(**overrides: Any) -> ObservedTraining:
    """What is seen of a new job whose claims are there."""
    return replace(ObservedTraining(claims={CLAIM: {}, "data": {}}), **overrides)


def applied(manifest: Manifest, **members: Any) -> Manifest:
    """A child as the API server shows it after it was applied by us."""
    fields = _fields({k: v for k, v in manifest.items() if k not in {"apiVersion", "kind"}})
    for name in ("f:name", "f:namespace"):
        fields["f:metadata"].pop(name, None)
    metadata = manifest["metadata"] | {
        "uid": JOB_UID if manifest["kind"] == "Job" else f"uid-{manifest['metadata']['name']}",
        "resourceVersion": "1",
        "managedFields": [
            {
                "manager": "puna",
                "operation": "Apply",
                "apiVersion": manifest["apiVersion"],
                "fieldsV1": fields,
            }
        ],
    }
    return manifest | {"metadata": metadata} | members


def ended_job(manifest: Manifest, kind: str, reason: str = "", message: str = "") -> Manifest:
    """A live Job that is Complete or Failed."""
    condition = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": NOW.isoformat(),
    }
    return manifest | {"status": {"conditions": [condition]}}


def trainer_pod(
    number: int = 1,
    *,
    phase: str = "Running",
    code: int | None = None,
    reason: str = "Error",
    result: Result | None = None,
    message: str = "",
    rank: int | None = None,
    conditions: Iterable[Manifest] = (),
    owner: str = JOB_UID,
    created: datetime | None = None,
    ran: int = 30,
    run: int = 1,
) -> Manifest:
    """A Pod of a run; with a `code` it has ended, after it `ran` for some seconds."""
    labels = training_labels(NAME, run)
    if rank is not None:
        labels["batch.kubernetes.io/job-completion-index"] = str(rank)
    at = created or CREATED + timedelta(minutes=number)
    status: Manifest = {"phase": phase, "conditions": list(conditions)}
    if code is not None:
        status["phase"] = "Succeeded" if code == 0 else "Failed"
        text = result.model_dump_json(by_alias=True) if result else message
        ended = {
            "exitCode": code,
            "reason": reason,
            "message": text,
            "finishedAt": (at + timedelta(seconds=ran)).isoformat(),
        }
        status["containerStatuses"] = [{"name": "trainer", "state": {"terminated": ended}}]
    elif phase == "Running":
        running = {"startedAt": at.isoformat()}
        status["containerStatuses"] = [{"name": "trainer", "state": {"running": running}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NAME}-{run}-{number}",
            "namespace": NAMESPACE,
            "labels": labels,
            "creationTimestamp": at.isoformat(),
            "ownerReferences": [{"kind": "Job", "name": f"{NAME}-{run}", "uid": owner}],
        },
        "spec": {"nodeName": "node-1"},
        "status": status,
    }


def failure(reason: FailureReason, message: str = "as it was", **members: Any) -> Result:
    """The last word of a trainer that failed."""
    return Result(exit_code=EXIT_OF[reason], reason=reason, message=message, **members)


def said(stage: StageName = StageName.TRAIN, **members: Any) -> Progress:
    """A line of progress."""
    return Progress(stage=stage, updated_at=members.pop("updated_at", NOW), **members)


def _fields(value: Any) -> Any:
    """Return the field set of a value that was applied as a whole."""
    if isinstance(value, dict):
        return {f"f:{name}": _fields(item) for name, item in value.items()}
    return {}
