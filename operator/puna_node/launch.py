"""How a container becomes a process: argument vector, environment, folders. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from puna_node.config import Profile
from puna_node.environment import resolve_environment
from puna_node.expand import expand
from puna_node.fields import Downward
from puna_node.manifest import DEFAULT_TERMINATION_PATH, Manifest, variable_name
from puna_node.mounts import Mount, normalize, rewrite
from puna_node.sources import Sources

SYSTEM_PATH: Final = "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
TEMPORARY: Final = "/tmp"  # noqa: S108 - a path in a container
TERMINATION_LOG: Final = "PUNA_TERMINATION_LOG"
"""Variable with the path of the file whose text becomes the termination message."""
MOUNT_PREFIX: Final = "PUNA_MOUNT_"
"""Variables with the folder of each mounted volume."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the parts of one container lie on this host."""

    home: str
    """Working directory, HOME and TMPDIR."""
    volumes: Mapping[str, str]
    """Folder of each volume by its name."""
    termination_log: str


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """The API server as this host reaches it."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    mounts: tuple[Mount, ...]
    ports: tuple[int, ...]
    """TCP ports that the container declares."""


def translate(
    container: Manifest,
    *,
    profile: Profile,
    folders: Folders,
    sources: Sources,
    downward: Downward,
    api: ApiEndpoint,
) -> Launch:
    """Process that stands for a container.

    Raises:
        MissingSourceError: its environment names a ConfigMap, Secret or key that is not there.
        UnknownFieldError: its environment names a field that the downward API does not have.
        RefusedVariableError: its environment sets what a Pod may not set.
    """
    mounts = container_mounts(container, folders)
    base = {
        "PATH": f"{posixpath.dirname(profile.run[0])}:{SYSTEM_PATH}".lstrip(":"),
        "HOME": folders.home,
        "TMPDIR": next((m.target for m in mounts if m.path == TEMPORARY), folders.home),
        "LANG": "C.UTF-8",
        # No module comes from the working directory or HOME.
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "HOSTNAME": downward.pod["metadata"]["name"],
        "KUBERNETES_SERVICE_HOST": api.host,
        "KUBERNETES_SERVICE_PORT": str(api.port),
        TERMINATION_LOG: folders.termination_log,
    } | {
        variable_name(MOUNT_PREFIX, mount["name"]): folders.volumes[mount["name"]]
        for mount in container.get("volumeMounts") or ()
    }
    environment = resolve_environment(
        container, sources, downward, base=base, rewrite=lambda text: rewrite(text, mounts)
    )
    arguments = (expand(rewrite(text, mounts), environment) for text in container.get("args") or ())
    return Launch(
        argv=(*profile.run, *arguments),
        environment=environment,
        directory=folders.home,
        mounts=mounts,
        ports=tuple(
            int(port["containerPort"])
            for port in container.get("ports") or ()
            if port.get("protocol", "TCP") == "TCP"
        ),
    )


def container_mounts(container: Manifest, folders: Folders) -> tuple[Mount, ...]:
    """Mounts of a container, with the file of its termination message."""
    mounts = [
        Mount(
            normalize(mount["mountPath"]),
            posixpath.join(folders.volumes[mount["name"]], mount.get("subPath") or "").rstrip("/"),
        )
        for mount in container.get("volumeMounts") or ()
    ]
    termination = container.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH
    return (*mounts, Mount(normalize(termination), folders.termination_log))


def flag_value(argv: Sequence[str], flag: str) -> str | None:
    """Value that follows a flag, the last one if it is repeated."""
    values = [argv[i + 1] for i, text in enumerate(argv[:-1]) if text == flag]
    return values[-1] if values else None
