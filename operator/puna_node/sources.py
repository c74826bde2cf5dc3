"""ConfigMaps and Secrets that a Pod names, and the keys it takes from them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from puna_node.manifest import Manifest, all_containers, volumes

CONFIG_MAP: Final = "configmap"
SECRET: Final = "secret"  # noqa: S105 - a kind of object


class MissingSourceError(LookupError):
    """A ConfigMap, Secret or key that is not there and is not optional."""


@dataclass(frozen=True, slots=True, order=True)
class SourceRef:
    """A ConfigMap or Secret of the Pod's namespace."""

    kind: str
    name: str


Sources = Mapping[SourceRef, Mapping[str, bytes] | None]
"""Data of each source that was asked for; None: it does not exist."""


def source_data(manifest: Manifest) -> dict[str, bytes]:
    """Keys of a ConfigMap or Secret object as bytes."""
    if manifest.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (manifest.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (manifest.get("data") or {}).items()}
    binary = {
        key: base64.b64decode(value) for key, value in (manifest.get("binaryData") or {}).items()
    }
    return text | binary


def source_references(pod: Manifest) -> frozenset[SourceRef]:
    """Every ConfigMap and Secret that the Pod's environment and volumes name."""
    return frozenset(_environment_references(pod)) | frozenset(_volume_references(pod))


def all_keys(reference: SourceRef, sources: Sources, *, optional: bool) -> Mapping[str, bytes]:
    """Data of a source.

    Raises:
        MissingSourceError: it does not exist and is not optional.
    """
    data = sources.get(reference)
    if data is None:
        if optional:
            return {}
        raise MissingSourceError(f'{reference.kind} "{reference.name}" not found')
    return data


def one_key(reference: SourceRef, key: str, sources: Sources, *, optional: bool) -> bytes | None:
    """Value of one key, None if it is optional and not there.

    Raises:
        MissingSourceError: source or key does not exist and is not optional.
    """
    data = all_keys(reference, sources, optional=optional)
    if key in data:
        return data[key]
    if optional:
        return None
    raise MissingSourceError(f'key "{key}" not found in {reference.kind} "{reference.name}"')


def _environment_references(pod: Manifest) -> Iterator[SourceRef]:
    for container in all_containers(pod):
        for entry in container.get("env") or ():
            origin: Mapping[str, Any] = entry.get("valueFrom") or {}
            if "configMapKeyRef" in origin:
                yield SourceRef(CONFIG_MAP, origin["configMapKeyRef"]["name"])
            if "secretKeyRef" in origin:
                yield SourceRef(SECRET, origin["secretKeyRef"]["name"])
        for entry in container.get("envFrom") or ():
            if "configMapRef" in entry:
                yield SourceRef(CONFIG_MAP, entry["configMapRef"]["name"])
            if "secretRef" in entry:
                yield SourceRef(SECRET, entry["secretRef"]["name"])


def _volume_references(pod: Manifest) -> Iterator[SourceRef]:
    for volume in volumes(pod):
        if "configMap" in volume:
            yield SourceRef(CONFIG_MAP, volume["configMap"]["name"])
        if "secret" in volume:
            yield SourceRef(SECRET, volume["secret"]["secretName"])
        for part in (volume.get("projected") or {}).get("sources") or ():
            if "configMap" in part:
                yield SourceRef(CONFIG_MAP, part["configMap"]["name"])
            if "secret" in part:
                yield SourceRef(SECRET, part["secret"]["name"])
