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
from puna.training.processes import MASTER_PORT, command, variables
from puna.training.volumes import pod_volumes
from puna_trainer.exits import Exit

TRAINER: Final = "trainer"
"""Name of the container that trains."""
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"


def failure_policy(nodes: int) -> Manifest:
    """Return what becomes of a Pod that failed; what no rule names counts towards `backoffLimit`.

    In order: what Kubernetes did itself, what would come again, and a SIGTERM after which
    everything was saved: a deleted Pod is no failure. Of several Pods that end together the one
    that was the cause counts; that others lost it does not.
    """
    planned = [Exit.INTERRUPTED] if nodes == 1 else [Exit.RANK_LOST, Exit.INTERRUPTED]
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    return {
        "rules": [
            {"action": "Ignore", "onPodConditions": [disrupted]},
            {"action": "FailJob", "onExitCodes": _exit_codes(Exit.BUG, Exit.USAGE, Exit.REFUSED)},
            {"action": "Ignore", "onExitCodes": _exit_codes(*planned)},
        ]
    }


def _exit_codes(*codes: Exit) -> Manifest:
    return {"containerName": TRAINER, "operator": "In", "values": [int(code) for code in codes]}


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
            # Several Pods of one attempt may fail; how many attempts did is counted by the status.
            "backoffLimit": (spec.backoff_limit + 1) * spec.nodes - 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": failure_policy(spec.nodes),
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


def ended_job(live: Manifest) -> Manifest:
    """Return a Job that is to end now: its Pods save and go, those that have ended stay."""
    part = applied_part(live)
    return part | {"spec": part.get("spec", {}) | {"activeDeadlineSeconds": 1}}


def _pod_spec(
    job: TrainingJob, *, run: int, save_seconds: float | None, settings: Settings
) -> Manifest:
    spec, child = job.spec, job_name(job.metadata.name, run)
    profile = settings.accelerators[spec.accelerator]
    grace = grace_seconds(spec.model, save_seconds)
    volumes = pod_volumes(job, config_map=child, settings=settings)
    container: Manifest = {
        "name": TRAINER,
        "image": profile.trainer_image,
        "command": list(command(spec)),
        "args": [f"{RUN_MOUNT}/{RUN_FILE}"],
        "env": variables(spec, child=child, grace=grace, settings=settings),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(volumes.mounts),
    }
    resources = container_resources(profile, spec.resources, spec.accelerator_count)
    if resources:
        container["resources"] = resources
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": grace,
        "containers": [container],
        "volumes": list(volumes.volumes),
    }
    if spec.nodes > 1:
        container["ports"] = [
            {"name": "rendezvous", "containerPort": MASTER_PORT, "protocol": "TCP"}
        ]
        pod["subdomain"] = child
    return pod | placement(profile, spec.node_selector)
