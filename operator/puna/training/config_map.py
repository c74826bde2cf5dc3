"""The ConfigMap with `run.json`."""

from __future__ import annotations

from puna.api.trainingjob import TrainingJob
from puna.core.naming import training_labels
from puna.core.plan import Manifest
from puna.training.job import job_name
from puna.training.mounts import RUN_FILE
from puna.training.run_config import run_document, run_of


def build_config_map(job: TrainingJob, run: int) -> Manifest:
    """Return the ConfigMap that a run's Pods read."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": job_name(job.metadata.name, run),
            "namespace": job.metadata.namespace,
            "labels": training_labels(job.metadata.name, run),
        },
        "data": {RUN_FILE: run_document(run_of(job))},
    }
