"""A TrainingJob as kubectl shows it, and its Pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from puna.api.training_status import TrainingJobStatus
from puna.core.naming import LABEL_TRAINING_JOB
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl

CONTAINER = "trainer"


def read_status(kubectl: Kubectl, namespace: str, name: str) -> TrainingJobStatus:
    """Status of a TrainingJob.

    Raises:
        CommandError: there is none of this name; names those that there are.
    """
    text = kubectl.run("get", "trainingjobs", f"--namespace={namespace}", "-o=json")
    jobs = {item["metadata"]["name"]: item for item in json.loads(text)["items"]}
    if name not in jobs:
        there = ", ".join(sorted(jobs)) or "none"
        raise CommandError(
            f"there is no TrainingJob {name} in namespace {namespace}; there: {there} "
            "(--namespace names another one)"
        )
    try:
        return TrainingJobStatus.model_validate(jobs[name].get("status", {}))
    except ValidationError as error:
        raise CommandError(f"TrainingJob {name}: its status cannot be read: {error}") from error


def newest_pod(kubectl: Kubectl, namespace: str, name: str) -> str | None:
    """Name of the Pod that was made last for the leading rank; None while there is none."""
    text = kubectl.run(
        *("get", "pods", f"--namespace={namespace}", f"--selector={LABEL_TRAINING_JOB}={name}"),
        "-o=json",
    )
    pods = [item for item in json.loads(text)["items"] if _is_leading(item)]
    newest = max(pods, key=lambda item: str(item["metadata"]["creationTimestamp"]), default=None)
    return None if newest is None else str(newest["metadata"]["name"])


def _is_leading(pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels", {})
    return str(labels.get("batch.kubernetes.io/job-completion-index", "0")) == "0"
