"""Pods as the API server sends them, and the few ways in which every part reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

Manifest: TypeAlias = dict[str, Any]
"""An object of the Kubernetes API, or a part of one, in its spelling."""

DEFAULT_TERMINATION_PATH: Final = "/dev/termination-log"
_VARIABLE_NAME: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class PodKey:
    """Namespace, name and UID of a Pod: the UID tells it from another of the same name."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def pod_key(pod: Manifest) -> PodKey:
    """Key of a Pod."""
    metadata = pod["metadata"]
    return PodKey(metadata["namespace"], metadata["name"], metadata["uid"])


def init_containers(pod: Manifest) -> list[Manifest]:
    """Init containers in the order in which they run."""
    return list(pod["spec"].get("initContainers") or ())


def main_containers(pod: Manifest) -> list[Manifest]:
    """Containers that run together once the init containers are done."""
    return list(pod["spec"]["containers"])


def all_containers(pod: Manifest) -> list[Manifest]:
    """Init containers, then the others."""
    return init_containers(pod) + main_containers(pod)


def volumes(pod: Manifest) -> list[Manifest]:
    """Volumes of a Pod."""
    return list(pod["spec"].get("volumes") or ())


def container_field_paths(pod: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Each container with the path of its field, as messages name it."""
    for field in ("initContainers", "containers"):
        for index, container in enumerate(pod["spec"].get(field) or ()):
            yield f"spec.{field}[{index}]", container


def parse_time(text: str) -> datetime:
    """Instant of an RFC 3339 text."""
    return datetime.fromisoformat(text)


def format_time(instant: datetime) -> str:
    """RFC 3339 with seconds, as `metav1.Time`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(instant: datetime) -> str:
    """RFC 3339 with microseconds, as `metav1.MicroTime`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def variable_name(prefix: str, name: str) -> str:
    """Name of an environment variable made from the name of a volume."""
    return prefix + _VARIABLE_NAME.sub("_", name).upper()
