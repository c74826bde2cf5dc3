"""`run.json`: what the trainer is told, rendered with its own models."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from puna.api.pool import Accelerator
from puna.api.trainingjob import TrainingJob, TrainingJobSpec
from puna.training.mounts import DATASET_MOUNT, MODEL_MOUNT, OUTPUT_MOUNT
from puna_trainer.config.dataset import Dataset
from puna_trainer.config.document import Document
from puna_trainer.config.run import Device, Run

DEVICES: Final = {
    Accelerator.CPU: Device.CPU,
    Accelerator.CUDA: Device.CUDA,
    Accelerator.METAL: Device.MPS,
}


def run_of(job: TrainingJob) -> Run:
    """Return the run that a TrainingJob means, with the paths that its Pods know.

    Only what differs from a default counts as given: the API server fills in all others.
    """
    spec = job.spec
    dataset = Dataset.model_validate(_given(spec.dataset))
    model = _given(spec.model)
    if spec.model.uri is not None:
        model["uri"] = in_pod(spec.model.uri, MODEL_MOUNT)
    document = {
        "name": job.metadata.name,
        "task": spec.task,
        "model": model,
        "dataset": _given(dataset) | {"uri": in_pod(dataset.uri, DATASET_MOUNT)},
        "stages": [_given(stage) for stage in spec.stages],
        "hyperparameters": _given(spec.hyperparameters),
        "checkpoint": _given(spec.checkpoint),
        "evaluation": _given(spec.evaluation),
        "export": _given(spec.export),
        "outputDirectory": f"{OUTPUT_MOUNT}/{output_path(job.metadata.name, spec)}",
        "upload": spec.output.upload,
        "device": DEVICES[spec.accelerator],
    }
    if spec.preparation is not None:
        document["preparation"] = _given(spec.preparation)
    return Run.model_validate(document)


def run_document(run: Run) -> str:
    """Return `run.json`."""
    return run.model_dump_json(by_alias=True, exclude_defaults=True, indent=1)


def output_path(name: str, spec: TrainingJobSpec) -> str:
    """Return the folder of a run in its claim."""
    return spec.output.path or name


def in_pod(uri: str, mount: str) -> str:
    """Return a uri as a Pod knows it: the folder of a claim is mounted, all others are as said."""
    parts = urlsplit(uri)
    if parts.scheme != "pvc":
        return uri
    return f"file://{quote(mount)}{parts.path}"


def _given(document: Document) -> dict[str, object]:
    return document.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
