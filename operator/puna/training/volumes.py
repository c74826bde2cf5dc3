"""Volumes of a training Pod: its run, its output, and where data and a first model lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from puna.api.pool import Accelerator
from puna.api.trainingjob import TrainingJob
from puna.core.addresses import folder_of
from puna.core.plan import Manifest
from puna.settings import Settings
from puna.training.claim import output_claim
from puna.training.mounts import (
    CREDENTIALS_MOUNT,
    DATASET_MOUNT,
    MODEL_MOUNT,
    OUTPUT_MOUNT,
    RUN_MOUNT,
)

SHARED_MEMORY: Final = {
    Accelerator.CPU: "1Gi",
    Accelerator.METAL: "1Gi",
    Accelerator.CUDA: "8Gi",
}
"""Room of /dev/shm, which a container runtime leaves at 64 MiB: gloo and NCCL need more."""


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """Volumes of a Pod and where its container sees them."""

    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]


def claim_names(job: TrainingJob) -> dict[str, str]:
    """Return the PersistentVolumeClaims that have to be there, by the field that names them."""
    spec, output = job.spec, output_claim(job)
    fields = {}
    if spec.output.persistent_volume_claim is not None:
        fields["spec.output.persistentVolumeClaim.claimName"] = output
    for field, uri in (("spec.dataset.uri", spec.dataset.uri), ("spec.model.uri", spec.model.uri)):
        if uri is not None and uri.startswith("pvc://"):
            name = urlsplit(uri).netloc
            if name != output or spec.output.persistent_volume_claim is not None:
                fields[field] = name
    return fields


def pod_volumes(job: TrainingJob, *, config_map: str, settings: Settings) -> PodVolumes:
    """Return the volumes of a Pod; the uris have passed the acceptance checks."""
    spec, output = job.spec, output_claim(job)
    volumes: dict[str, Manifest] = {
        "run": {"configMap": {"name": config_map}},
        "output": {"persistentVolumeClaim": {"claimName": output}},
        "shm": {"emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY[spec.accelerator]}},
        "tmp": {"emptyDir": {}},
    }
    mounts: list[Manifest] = [
        {"name": "run", "mountPath": RUN_MOUNT, "readOnly": True},
        {"name": "output", "mountPath": OUTPUT_MOUNT},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
    ]
    for name, uri, mount in (
        ("dataset", spec.dataset.uri, DATASET_MOUNT),
        ("model", spec.model.uri, MODEL_MOUNT),
    ):
        scheme = urlsplit(uri or "").scheme
        if uri is not None and scheme == "pvc":
            claim = urlsplit(uri).netloc
            if claim != output:
                volumes[name] = {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
            # A claim is one volume of a Pod, however often it is mounted.
            used = "output" if claim == output else name
            mounts.append({"name": used, "mountPath": mount, "readOnly": True})
        elif uri is not None and scheme == "file":
            folder = folder_of(uri, settings.model_folders)
            volumes[name] = {"hostPath": {"path": folder, "type": "Directory"}}
            mounts.append({"name": name, "mountPath": folder, "readOnly": True})
    secret = spec.dataset.credentials_secret_ref
    if secret is not None:
        volumes["credentials"] = {"secret": {"secretName": secret.name}}
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS_MOUNT, "readOnly": True})
    distinct = {mount["mountPath"]: mount for mount in mounts}
    used_names = {mount["name"] for mount in distinct.values()}
    return PodVolumes(
        tuple({"name": name} | source for name, source in volumes.items() if name in used_names),
        tuple(distinct.values()),
    )
