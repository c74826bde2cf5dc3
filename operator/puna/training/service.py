"""The headless Service that gives the Pods of a run names, where there are several."""

from __future__ import annotations

from puna.api.trainingjob import TrainingJob
from puna.core.naming import LABEL_RUN, LABEL_TRAINING_JOB, training_labels
from puna.core.plan import Manifest
from puna.training.job import job_name
from puna.training.processes import MASTER_PORT


def build_service(job: TrainingJob, run: int) -> Manifest:
    """Return the Service whose Pods are found before they are ready: they wait for each other."""
    name = job.metadata.name
    labels = training_labels(name, run)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": job_name(name, run),
            "namespace": job.metadata.namespace,
            "labels": labels,
        },
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {key: labels[key] for key in (LABEL_TRAINING_JOB, LABEL_RUN)},
            "ports": [
                {
                    "name": "rendezvous",
                    "port": MASTER_PORT,
                    "targetPort": "rendezvous",
                    "protocol": "TCP",
                }
            ],
        },
    }
