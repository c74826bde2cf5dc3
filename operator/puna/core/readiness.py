"""Readiness: what conditions say of a Pod, and of any other object."""

from __future__ import annotations

from puna.core.plan import Manifest


def condition_of(manifest: Manifest, kind: str) -> str | None:
    """Return the status of an object's condition."""
    for condition in manifest.get("status", {}).get("conditions", ()):
        if condition["type"] == kind:
            return str(condition["status"])
    return None


def is_ready(pod: Manifest) -> bool:
    """Return whether a Pod is ready and stays."""
    return "deletionTimestamp" not in pod["metadata"] and condition_of(pod, "Ready") == "True"
