"""Processes of a run: how many there are, how they find each other, and their threads.

One process to a Pod is started by itself and is told who it is (`puna_trainer.distributed`).
Several are started by torchrun, which is told the same by variables of its own (PET_*), within
`puna_trainer.launch`, which ends as the run did.
"""

from __future__ import annotations

import math
from typing import Final

from puna.api.pool import Accelerator
from puna.api.trainingjob import TrainingJobSpec
from puna.core.plan import Manifest
from puna.core.pod_security import pod_ip
from puna.core.quantities import amount
from puna.settings import Settings
from puna.training.mounts import CREDENTIALS_MOUNT

MASTER_PORT: Final = 29500
COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
CREDENTIALS_VARIABLE: Final = "PUNA_CREDENTIALS_DIRECTORY"
COMMAND: Final = ("python", "-m", "puna_trainer")
LAUNCHER: Final = ("python", "-m", "puna_trainer.launch")
LAST_SECONDS: Final = 10
"""Seconds of the grace period that are left when processes which have not ended are killed."""


def processes_per_node(spec: TrainingJobSpec) -> int:
    """Return how many processes a Pod starts: one for each accelerator."""
    return spec.accelerator_count if spec.accelerator is Accelerator.CUDA else 1


def command(spec: TrainingJobSpec) -> tuple[str, ...]:
    """Return the program of a Pod: the trainer, or the launcher, which starts several of it."""
    return COMMAND if processes_per_node(spec) == 1 else LAUNCHER


def variables(
    spec: TrainingJobSpec, *, child: str, grace: int, settings: Settings
) -> list[Manifest]:
    """Return the environment of the trainer, whose Pods have so many seconds of grace."""
    found: dict[str, str] = {}
    threads = _threads(spec)
    if threads is not None:
        # Without it torch starts a thread for every core of the node, and is throttled.
        found["OMP_NUM_THREADS"] = str(threads)
    if spec.dataset.credentials_secret_ref is not None:
        found[CREDENTIALS_VARIABLE] = CREDENTIALS_MOUNT
    listed: list[Manifest] = [
        pod_ip(),
        _field("PUNA_ATTEMPT", "metadata.name"),
        *({"name": name, "value": value} for name, value in found.items()),
    ]
    if processes_per_node(spec) > 1:
        return listed + _torchrun(spec, child, grace)
    if spec.nodes > 1:
        return listed + _alone(spec, child, settings)
    return listed


def _alone(spec: TrainingJobSpec, child: str, settings: Settings) -> list[Manifest]:
    """Return who a process is; the Job itself tells its rank, as JOB_COMPLETION_INDEX.

    Without cluster DNS the first process leaves its address in the output folder.
    """
    found = {"WORLD_SIZE": str(spec.nodes), "MASTER_PORT": str(MASTER_PORT)}
    if settings.training_rendezvous == "Service":
        found["MASTER_ADDR"] = _first(child)
    return [{"name": name, "value": value} for name, value in found.items()]


def _torchrun(spec: TrainingJobSpec, child: str, grace: int) -> list[Manifest]:
    found = {
        # Without it torchrun kills its processes 30 s after SIGTERM, in the midst of a save.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(grace - LAST_SECONDS),
        "PET_NNODES": str(spec.nodes),
        "PET_NPROC_PER_NODE": str(processes_per_node(spec)),
        "PET_MASTER_PORT": str(MASTER_PORT),
        "PET_MASTER_ADDR": "127.0.0.1" if spec.nodes == 1 else _first(child),
    }
    listed: list[Manifest] = [{"name": name, "value": value} for name, value in found.items()]
    if spec.nodes == 1:
        return [*listed, {"name": "PET_NODE_RANK", "value": "0"}]
    return [*listed, _field("PET_NODE_RANK", f"metadata.labels['{COMPLETION_INDEX}']")]


def _first(child: str) -> str:
    """Return the name of the first Pod, by which all others find it."""
    return f"{child}-0.{child}"


def _field(name: str, path: str) -> Manifest:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _threads(spec: TrainingJobSpec) -> int | None:
    """Return the threads of one process by the Pod's CPU limit; None where there is no limit."""
    cpus = amount(spec.resources.limits.get("cpu"))
    if cpus is None:
        return None
    return max(1, math.floor(cpus / processes_per_node(spec)))
