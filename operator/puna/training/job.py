"""The Job of a run: who is retried, who is not, and what its Pods are."""

from __future__ import annotations

from typing import Final

from puna.api.trainingjob import TrainingJob
from puna.core.naming import child_name, training_labels
from puna.core.ownership import applied_part
from puna.core.plan import Manifest
from puna.core.pod_security import container_security, pod_security
from puna.placement import container_resources, placement
from puna.settings import Settings
from puna.training.grace import grace_seconds
from puna.training.mounts import RUN_FILE, RUN_MOUNT
from puna.training.processes import MASTER_PORT, variables
from puna.training.volumes import pod_volumes
from puna_trainer.exits import Exit

TRAINER: Final = "trainer"
"""Name of the container that trains."""
COMMAND: Final = ("python", "-m", "puna_trainer")
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"

FAILURE_POLICY: Final[Manifest] = {
    "rules": [
        {
            "action": "Ignore",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        },
        {
            "action": "FailJob",
            "onExitCodes": {
                "containerName": TRAINER,
                "operator": "In",
                "values": [int(Exit.BUG), int(Exit.USAGE), int(Exit.REFUSED)],
            },
        },
        {
            # Somebody sent SIGTERM, and everything is saved: a deleted Pod is no failure.
            "action": "Ignore",
            "onExitCodes": {
                "containerName": TRAINER,
                "operator": "In",
                "values": [int(Exit.INTERRUPTED)],
            },
        },
    ]
}
"""In order: what Kubernetes did itself, what would come again, what was asked for. All others, the
temporary ones among them, count towards `backoffLimit`."""


def job_name(name: str, run: int) -> str:
    """Return the name of a run's Job, ConfigMap and Service."""
    return child_name(name, str(run))


def build_job(
    job: TrainingJob, *, run: int, save_seconds: float | None, settings: Settings
) -> Manifest:
    """Return the Job of a run as it is created."""
    name, namespace, spec = job.metadata.name, job.metadata.namespace, job.spec
    labels = training_labels(name, run)
    queue = {} if spec.queue_name is None else {QUEUE_LABEL: spec.queue_name}
    group: Manifest = {"completionMode": "NonIndexed"}
    if spec.nodes > 1:
        group = {"completionMode": "Indexed"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(name, run),
            "namespace": namespace,
            "labels": labels | queue,
        },
        "spec": {
            **group,
            "completions": spec.nodes,
            "parallelism": spec.nodes,
            # When one Pod of several fails, all of them do: together they are one failure.
            "backoffLimit": (spec.backoff_limit + 1) * spec.nodes - 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": FAILURE_POLICY,
            # With a queue it is Kueue's from here on.
            "suspend": spec.suspend or spec.queue_name is not None,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod_spec(job, run=run, save_seconds=save_seconds, settings=settings),
            },
        },
    }


def existing_job(live: Manifest, job: TrainingJob) -> Manifest:
    """Return a Job that is there as it is wanted: as it was created, paused where that is ours.

    Its template cannot be changed; and one of an older operator is not to be started again.
    """
    part = applied_part(live)
    if job.spec.queue_name is not None:
        return part
    return part | {"spec": part.get("spec", {}) | {"suspend": job.spec.suspend}}


def _pod_spec(
    job: TrainingJob, *, run: int, save_seconds: float | None, settings: Settings
) -> Manifest:
    spec, child = job.spec, job_name(job.metadata.name, run)
    profile = settings.accelerators[spec.accelerator]
    volumes = pod_volumes(spec, config_map=child, settings=settings)
    container: Manifest = {
        "name": TRAINER,
        "image": profile.trainer_image,
        "command": list(COMMAND),
        "args": [f"{RUN_MOUNT}/{RUN_FILE}"],
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(volumes.mounts),
    }
    environment = variables(spec, name=job.metadata.name, child=child, settings=settings)
    if environment:
        container["env"] = environment
    resources = container_resources(profile, spec.resources, spec.accelerator_count)
    if resources:
        container["resources"] = resources
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": grace_seconds(spec.model, save_seconds),
        "containers": [container],
        "volumes": list(volumes.volumes),
    }
    if spec.nodes > 1:
        container["ports"] = [
            {"name": "rendezvous", "containerPort": MASTER_PORT, "protocol": "TCP"}
        ]
        pod["subdomain"] = child
    return pod | placement(profile, spec.node_selector)
