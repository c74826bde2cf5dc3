"""Trimming: what the operator remembers of an object.

Hundreds of objects are held in memory; what no plan reads is dropped where it comes in.
"""

from __future__ import annotations

from typing import Any, Final

from puna.core.ownership import is_ours
from puna.core.plan import Manifest

_ANNOTATIONS: Final = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/revision",
    }
)
"""Annotations of others that nobody reads."""
_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
)
_POD_STATUS: Final = (
    "phase",
    "reason",
    "message",
    "podIP",
    "startTime",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
)
_DEPLOYMENT_STATUS: Final = ("observedGeneration", "updatedReplicas")
_JOB_STATUS: Final = ("startTime", "completionTime", "conditions")
_KEEP_NO_FIELDS: Final = frozenset({"LLMEndpoint", "TrainingJob", "Preset", "Pod"})
"""Kinds that are not applied, so that nobody asks what is ours of them."""


def trim(manifest: Manifest) -> Manifest:
    """Return what is worth keeping of an object from the API server.

    Of a Pod: its metadata, `spec.nodeName` and its status. Of a Deployment's status: which
    generation it speaks of, `updatedReplicas`, and what went wrong. Of a Job's status: its times
    and conditions. Of all objects everything but other managers' entries in `managedFields` and
    annotations that nobody reads.
    """
    kind = manifest["kind"]
    metadata = {
        name: manifest["metadata"][name] for name in _METADATA if name in manifest["metadata"]
    }
    annotations = metadata.get("annotations")
    if annotations:
        metadata["annotations"] = {
            name: value for name, value in annotations.items() if name not in _ANNOTATIONS
        }
    if kind not in _KEEP_NO_FIELDS:
        metadata["managedFields"] = [
            {name: entry[name] for name in ("manager", "operation", "apiVersion", "fieldsV1")}
            for entry in manifest["metadata"].get("managedFields", ())
            if is_ours(entry)
        ]
    trimmed: dict[str, Any] = manifest | {"metadata": metadata}
    if kind == "Pod":
        spec, status = manifest.get("spec", {}), manifest.get("status", {})
        trimmed["spec"] = {"nodeName": spec["nodeName"]} if "nodeName" in spec else {}
        trimmed["status"] = {name: status[name] for name in _POD_STATUS if name in status}
    elif kind == "Deployment":
        trimmed["status"] = _deployment_status(manifest.get("status", {}))
    elif kind == "Job":
        status = manifest.get("status", {})
        trimmed["status"] = {name: status[name] for name in _JOB_STATUS if name in status}
    return trimmed


def is_same(before: Manifest, after: Manifest) -> bool:
    """Return whether two versions of an object differ in nothing that is kept."""
    return _without_version(before) == _without_version(after)


def _without_version(manifest: Manifest) -> Manifest:
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "resourceVersion"}
    return manifest | {"metadata": metadata}


def _deployment_status(status: Manifest) -> Manifest:
    """Drop counts and dates that follow from Pods: controllers write them many times over."""
    kept: Manifest = {name: status[name] for name in _DEPLOYMENT_STATUS if name in status}
    kept["conditions"] = [
        {name: condition.get(name) for name in ("type", "status", "reason", "message")}
        for condition in status.get("conditions", ())
        if condition["type"] == "ReplicaFailure"
        or (condition["type"] == "Progressing" and condition["status"] != "True")
    ]
    return kept
