"""The Node object, its status and its lease. Pure."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from puna_node.config import (
    LABEL_ACCELERATOR,
    LABEL_RUNTIME,
    PROVIDER,
    TAINT_PROVIDER,
    AgentConfig,
)
from puna_node.host import HostFacts, HostPressure
from puna_node.manifest import Manifest, format_micro_time, format_time

RUNTIME_NATIVE: Final = "native"
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_FACTOR: Final = 4
"""The lease lasts so many renewals."""
RESERVED_BYTES: Final = 100 * 2**20
"""Memory that is left to the host."""


def node_labels(config: AgentConfig, host: HostFacts) -> dict[str, str]:
    """Labels of the Node."""
    return {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": host.operating_system,
        "kubernetes.io/arch": host.architecture,
        LABEL_ACCELERATOR: config.accelerator,
        LABEL_RUNTIME: RUNTIME_NATIVE,
        **config.labels,
    }


def node_manifest(config: AgentConfig, host: HostFacts) -> Manifest:
    """Node object to register; a node may set its taints only then."""
    spec: Manifest = {"providerID": f"{PROVIDER}://{config.node_name}"}
    if config.tainted:
        spec["taints"] = [{"key": TAINT_PROVIDER, "value": PROVIDER, "effect": "NoSchedule"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.node_name, "labels": node_labels(config, host)},
        "spec": spec,
    }


def kubelet_version(server_version: Manifest) -> str:
    """Version that the node reports: that of the cluster, marked as no kubelet."""
    return f"v{server_version['major']}.{server_version['minor'].rstrip('+')}.0-{PROVIDER}"


def resources(config: AgentConfig, host: HostFacts) -> tuple[dict[str, str], dict[str, str]]:
    """Capacity and allocatable."""
    capacity = {
        "cpu": str(host.processors),
        "memory": f"{host.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{host.storage_bytes // 1024}Ki",
        "pods": str(config.max_pods),
    } | {name: str(count) for name, count in config.extended_resources.items()}
    memory = max(0, host.memory_bytes - RESERVED_BYTES)
    return capacity, {**capacity, "memory": f"{memory // 1024}Ki"}


def node_status(
    config: AgentConfig,
    host: HostFacts,
    pressure: HostPressure,
    *,
    address: str,
    port: int,
    version: str,
    agent_version: str,
    ready: bool = True,
) -> Manifest:
    """Status of the Node; conditions still without times."""
    capacity, allocatable = resources(config, host)
    status: Manifest = {
        "capacity": capacity,
        "allocatable": allocatable,
        "addresses": [
            {"type": "InternalIP", "address": address},
            {"type": "Hostname", "address": config.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "declaredFeatures": [],
        "nodeInfo": {
            "machineID": host.machine_id,
            "systemUUID": host.machine_id,
            "bootID": host.boot_id,
            "kernelVersion": host.kernel_version,
            "osImage": host.os_image,
            "containerRuntimeVersion": f"{PROVIDER}://{agent_version}",
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "operatingSystem": host.operating_system,
            "architecture": host.architecture,
        },
        "conditions": [
            _condition("Ready", ready, ("AgentReady", "AgentStopped"), "the node agent runs Pods"),
            _condition("MemoryPressure", pressure.memory, ("MemoryLow", "MemoryFree"), "memory"),
            _condition("DiskPressure", pressure.disk, ("DiskLow", "DiskFree"), "disk space"),
            _condition("PIDPressure", False, ("", "ProcessesFree"), "processes"),  # noqa: FBT003
            _condition("NetworkUnavailable", False, ("", "HostNetwork"), "network of the host"),  # noqa: FBT003
        ],
    }
    return status


def with_times(
    conditions: list[Manifest], previous: list[Manifest], now: datetime
) -> list[Manifest]:
    """Node conditions with heartbeat and transition times."""
    before = {condition["type"]: condition for condition in previous}
    stamped = []
    for condition in conditions:
        old = before.get(condition["type"])
        same = old is not None and old["status"] == condition["status"]
        since = old.get("lastTransitionTime") if old is not None and same else None
        stamped.append(
            {
                **condition,
                "lastHeartbeatTime": format_time(now),
                "lastTransitionTime": since or format_time(now),
            }
        )
    return stamped


def lease_manifest(config: AgentConfig, *, node_uid: str, now: datetime) -> Manifest:
    """Lease that says that the node lives."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": config.node_name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": config.node_name, "uid": node_uid}
            ],
        },
        "spec": {
            "holderIdentity": config.node_name,
            "leaseDurationSeconds": max(1, math.ceil(config.lease_seconds * LEASE_FACTOR)),
            "renewTime": format_micro_time(now),
        },
    }


def _condition(kind: str, holds: bool, reasons: tuple[str, str], message: str) -> Manifest:  # noqa: FBT001
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reasons[0] if holds else reasons[1],
        "message": message,
    }
