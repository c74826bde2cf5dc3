"""Facts about this host."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a Node object tells about its host."""

    operating_system: str
    architecture: str
    kernel_version: str
    os_image: str
    machine_id: str
    boot_id: str
    processors: int
    memory_bytes: int
    storage_bytes: int


@dataclass(frozen=True, slots=True)
class HostPressure:
    """Whether the host runs out of something."""

    memory: bool
    disk: bool


MEMORY_LOW: Final = 100 * 2**20
"""Available memory below which the node is under memory pressure, as the kubelet's default."""
DISK_LOW: Final = 0.05
"""Free fraction of the file system below which the node is under disk pressure."""


def host_facts(directory: Path) -> HostFacts:
    """Facts of this host; storage is that of the file system that holds `directory`."""
    return HostFacts(
        operating_system=sys.platform if sys.platform == "darwin" else "linux",
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel_version=platform.release(),
        os_image=_os_image(),
        machine_id=_first_line(Path("/etc/machine-id")) or f"{uuid.getnode():012x}",
        boot_id=_first_line(Path("/proc/sys/kernel/random/boot_id"))
        or str(uuid.uuid5(uuid.NAMESPACE_OID, str(psutil.boot_time()))),
        processors=_processors(),
        memory_bytes=_memory(),
        storage_bytes=shutil.disk_usage(directory).total,
    )


def host_pressure(directory: Path) -> HostPressure:
    """Present pressure of this host."""
    usage = shutil.disk_usage(directory)
    return HostPressure(
        memory=psutil.virtual_memory().available < MEMORY_LOW,
        disk=usage.free < usage.total * DISK_LOW,
    )


def local_address(host: str, port: int) -> str:
    """Address of this host on the way to another; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        address: str = probe.getsockname()[0]
    return address


def _processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    total = psutil.virtual_memory().total
    limit = _first_line(CGROUP_LIMIT)
    return min(total, int(limit)) if limit.isdigit() else total


def _os_image() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
