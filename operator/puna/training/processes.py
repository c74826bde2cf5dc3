"""Processes of a run: how many there are, how they find each other, and their threads.

Variables are those that torchrun reads and sets for its workers (PET_*, torch.distributed.run).
"""

from __future__ import annotations

import math
from typing import Final

from puna.api.llmendpoint import Accelerator
from puna.api.trainingjob import TrainingJobSpec
from puna.core.plan import Manifest
from puna.core.quantities import amount
from puna.settings import Settings
from puna.training.mounts import CREDENTIALS_MOUNT, OUTPUT_MOUNT
from puna.training.run_config import output_path

MASTER_PORT: Final = 29500
COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
CREDENTIALS_VARIABLE: Final = "PUNA_CREDENTIALS_DIRECTORY"
RENDEZVOUS_VARIABLE: Final = "PUNA_RENDEZVOUS_FILE"


def processes_per_node(spec: TrainingJobSpec) -> int:
    """Return how many processes a Pod starts: one for each accelerator."""
    return spec.accelerator_count if spec.accelerator is Accelerator.CUDA else 1


def variables(
    spec: TrainingJobSpec, *, name: str, child: str, settings: Settings
) -> list[Manifest]:
    """Return the environment of the trainer."""
    found: dict[str, str] = {}
    threads = _threads(spec)
    if threads is not None:
        # Without it torch starts a thread for every core of the node, and is throttled.
        found["OMP_NUM_THREADS"] = str(threads)
    if spec.dataset.credentials_secret_ref is not None:
        found[CREDENTIALS_VARIABLE] = CREDENTIALS_MOUNT
    listed = [{"name": key, "value": value} for key, value in found.items()]
    if spec.nodes == 1 and processes_per_node(spec) == 1:
        return listed
    return listed + _group(spec, name=name, child=child, settings=settings)


def _group(spec: TrainingJobSpec, *, name: str, child: str, settings: Settings) -> list[Manifest]:
    """Return how the processes of a run find each other."""
    found = {
        "PET_NNODES": str(spec.nodes),
        "PET_NPROC_PER_NODE": str(processes_per_node(spec)),
        "PET_MASTER_PORT": str(MASTER_PORT),
    }
    if spec.nodes == 1:
        found |= {"PET_NODE_RANK": "0", "PET_MASTER_ADDR": "127.0.0.1"}
        return [{"name": key, "value": value} for key, value in found.items()]
    if settings.training_rendezvous == "Volume":
        folder = f"{OUTPUT_MOUNT}/{output_path(name, spec)}"
        found[RENDEZVOUS_VARIABLE] = f"{folder}/rendezvous-{child}"
    else:
        found["PET_MASTER_ADDR"] = f"{child}-0.{child}"
    rank = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}
    return [
        *({"name": key, "value": value} for key, value in found.items()),
        {"name": "PET_NODE_RANK", "valueFrom": {"fieldRef": rank}},
    ]


def _threads(spec: TrainingJobSpec) -> int | None:
    """Return the threads of one process by the Pod's CPU limit; None where there is no limit."""
    cpus = amount(spec.resources.limits.get("cpu"))
    if cpus is None:
        return None
    return max(1, math.floor(cpus / processes_per_node(spec)))
