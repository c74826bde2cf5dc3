"""PersistentVolumes for claims of the local StorageClass. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROVISIONER: Final = "puna.dev/folder"
"""Name of this provider in a StorageClass."""
STORAGE_CLASS: Final = "folder"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """What to do next."""

    create: tuple[Manifest, ...] = ()
    delete: tuple[str, ...] = ()
    """Names of volumes whose claim is gone. Their folders stay for claims of the same name."""


def plan_volumes(
    claims: Iterable[Mapping[str, Any]], volumes: Iterable[Mapping[str, Any]], root: Path
) -> VolumePlan:
    """A volume for each claim that waits for one, and the end of those that were released."""
    ours = [
        volume
        for volume in volumes
        if volume["metadata"].get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
    ]
    there = {volume["metadata"]["name"] for volume in ours}
    wanted = [persistent_volume(claim, root) for claim in claims if waits_for_volume(claim)]
    return VolumePlan(
        create=tuple(volume for volume in wanted if volume["metadata"]["name"] not in there),
        delete=tuple(
            volume["metadata"]["name"]
            for volume in ours
            if volume.get("status", {}).get("phase") in ("Released", "Failed")
            and not volume["metadata"].get("deletionTimestamp")
        ),
    )


def waits_for_volume(claim: Mapping[str, Any]) -> bool:
    """Whether a claim of our class has no volume yet."""
    spec = claim["spec"]
    return (
        spec.get("storageClassName") == STORAGE_CLASS
        and not spec.get("volumeName")
        and not claim["metadata"].get("deletionTimestamp")
    )


def persistent_volume(claim: Mapping[str, Any], root: Path) -> Manifest:
    """The volume of one claim: the folder `<root>/<namespace>/<claim>`."""
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "accessModes": spec["accessModes"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "hostPath": {"path": str(root / metadata["namespace"] / metadata["name"])},
        },
    }
