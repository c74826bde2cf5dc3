"""What all Pods of Puna have in common: Pod Security `restricted`, and their own address."""

from __future__ import annotations

from typing import Final

from puna.core.plan import Manifest

USER: Final = 65532
"""Unprivileged user and group of all our containers."""


def container_security() -> Manifest:
    """Return a security context that passes Pod Security `restricted`."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def pod_security() -> Manifest:
    """Return the Pod's part of the same."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_ip() -> Manifest:
    """Return the variable that names the Pod's own address."""
    return {
        "name": "POD_IP",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}},
    }
