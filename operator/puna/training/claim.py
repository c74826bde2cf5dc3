"""The PersistentVolumeClaim that a run writes to: the user's, or one that is made for it."""

from __future__ import annotations

from puna.api.trainingjob import TrainingJob, WhenDeleted
from puna.core.naming import COMPONENT_TRAINER, LABEL_TRAINING_JOB, child_name, labels
from puna.core.plan import Manifest


def output_claim(job: TrainingJob) -> str:
    """Return the name of the claim that a run writes to."""
    claim = job.spec.output.persistent_volume_claim
    return child_name(job.metadata.name, "output") if claim is None else claim.claim_name


def build_claim(job: TrainingJob) -> Manifest | None:
    """Return the claim that is made for a run, whatever number it has; None: it is the user's.

    A claim that is to stay has no owner: nothing is deleted with the TrainingJob.
    """
    template = job.spec.output.volume_claim_template
    if template is None:
        return None
    name = job.metadata.name
    metadata: Manifest = {
        "name": output_claim(job),
        "namespace": job.metadata.namespace,
        "labels": labels(
            instance=name, component=COMPONENT_TRAINER, extra={LABEL_TRAINING_JOB: name}
        ),
    }
    if template.when_deleted is WhenDeleted.RETAIN:
        metadata["ownerReferences"] = []
    spec: Manifest = {
        "accessModes": [str(mode) for mode in template.access_modes],
        "resources": {"requests": {"storage": template.size}},
    }
    if template.storage_class_name is not None:
        spec["storageClassName"] = template.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": spec,
    }
