"""The model's way into a Pod: volumes, mounts and the init container that fetches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from puna.api.model_source import ModelSource
from puna.core.addresses import folder_of
from puna.core.plan import Manifest
from puna.settings import Settings
from puna_fetch.config import MODELS_MOUNT, SOURCE_MOUNT, FetchRequest, model_path

FETCH: Final = "fetch"
"""Name of the init container."""
CREDENTIALS_MOUNT: Final = "/etc/puna/credentials"
CA_MOUNT: Final = "/etc/puna/ca"
CA_MEMBER: Final = "ca.crt"


@dataclass(frozen=True, slots=True)
class ModelVolume:
    """Where a model lies in its Pod and how it gets there."""

    path: str
    volumes: tuple[Manifest, ...]
    server_mounts: tuple[Manifest, ...]
    fetch_mounts: tuple[Manifest, ...]
    request: FetchRequest


def model_volume(model: ModelSource, *, namespace: str, settings: Settings) -> ModelVolume:
    """Return the volumes of a model; the uri has passed the acceptance checks."""
    parts = urlsplit(model.uri)
    folder = folder_of(model.uri, settings.model_folders) if parts.scheme == "file" else None
    records: str | None = None
    path = model_path(uri=model.uri, namespace=namespace, sha256=model.sha256, source_root=folder)
    if parts.scheme in {"file", "pvc"}:
        source: Manifest = {"name": "source"}
        if folder is not None:
            source["hostPath"] = {"path": folder, "type": "Directory"}
        else:
            source["persistentVolumeClaim"] = {"claimName": parts.netloc, "readOnly": True}
        volumes = [source]
        server_mounts = [{"name": "source", "mountPath": SOURCE_MOUNT, "readOnly": True}]
        fetch_mounts = list(server_mounts)
        if settings.model_cache_host_path is not None:
            volumes.append({"name": "models", **_cache(model, settings)})
            fetch_mounts.append({"name": "models", "mountPath": MODELS_MOUNT})
            records = f"{MODELS_MOUNT}/{namespace}/.records"
    else:
        volumes = [{"name": "models", **_cache(model, settings)}]
        server_mounts = [{"name": "models", "mountPath": MODELS_MOUNT, "readOnly": True}]
        fetch_mounts = [{"name": "models", "mountPath": MODELS_MOUNT}]
    if model.credentials_secret_ref is not None:
        volumes.append(_secret("credentials", model.credentials_secret_ref.name))
        fetch_mounts.append(
            {"name": "credentials", "mountPath": CREDENTIALS_MOUNT, "readOnly": True}
        )
    if model.ca_secret_ref is not None:
        volumes.append(_secret("ca", model.ca_secret_ref.name))
        fetch_mounts.append({"name": "ca", "mountPath": CA_MOUNT, "readOnly": True})
    return ModelVolume(
        path=path,
        volumes=tuple(volumes),
        server_mounts=tuple(server_mounts),
        fetch_mounts=tuple(fetch_mounts),
        request=FetchRequest(
            uri=model.uri,
            sha256=model.sha256,
            destination=path,
            credentials_directory=CREDENTIALS_MOUNT if model.credentials_secret_ref else None,
            ca_file=f"{CA_MOUNT}/{CA_MEMBER}" if model.ca_secret_ref else None,
            allowed_networks=settings.allowed_networks,
            record_directory=records,
            max_bytes=None if parts.scheme in {"file", "pvc"} else settings.model_max_bytes,
        ),
    )


def _cache(model: ModelSource, settings: Settings) -> Manifest:
    """Return the source of the cache volume: a claim, a folder of the node, or of the Pod."""
    if model.cache is not None:
        claim = model.cache.persistent_volume_claim.claim_name
        return {"persistentVolumeClaim": {"claimName": claim}}
    if settings.model_cache_host_path is not None:
        return {"hostPath": {"path": settings.model_cache_host_path, "type": "DirectoryOrCreate"}}
    return {"emptyDir": {}}


def _secret(volume: str, name: str) -> Manifest:
    return {"name": volume, "secret": {"secretName": name}}
