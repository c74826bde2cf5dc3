"""Trimming: what the operator remembers of an object.

Hundreds of objects are held in memory; what no plan reads is dropped where it comes in.
"""

from __future__ import annotations

from typing import Any, Final

from puna.core.ownership import is_ours
from puna.core.plan import Manifest

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
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
_KEEP_NO_FIELDS: Final = frozenset({"LLMEndpoint", "Preset", "Pod"})
"""Kinds that are not applied, so that nobody asks what is ours of them."""


def trim(manifest: Manifest) -> Manifest:
    """Return what is worth keeping of an object from the API server.

    Of a Pod: its metadata, `spec.nodeName` and its status. Of all others everything but other
    managers' entries in `managedFields`, and kubectl's copy of what it applied.
    """
    kind = manifest["kind"]
    metadata = {
        name: manifest["metadata"][name] for name in _METADATA if name in manifest["metadata"]
    }
    annotations = metadata.get("annotations")
    if annotations and LAST_APPLIED in annotations:
        metadata["annotations"] = {
            name: value for name, value in annotations.items() if name != LAST_APPLIED
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
    return trimmed
