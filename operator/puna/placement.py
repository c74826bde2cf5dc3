"""Placement: where a Pod that needs an accelerator runs, the same for serving and training."""

from __future__ import annotations

from collections.abc import Mapping

from puna.api.pool import Resources
from puna.core.plan import Manifest
from puna.settings import AcceleratorProfile


def placement(profile: AcceleratorProfile, node_selector: Mapping[str, str]) -> Manifest:
    """Return the members of a Pod spec that choose its node."""
    spec: Manifest = {}
    selector = dict(profile.node_selector) | dict(node_selector)
    if selector:
        spec["nodeSelector"] = selector
    if profile.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in profile.tolerations]
    if profile.runtime_class is not None:
        spec["runtimeClassName"] = profile.runtime_class
    return spec


def container_resources(
    profile: AcceleratorProfile, resources: Resources, accelerator_count: int
) -> Manifest:
    """Return requests and limits; extended resources need both to be equal."""
    requests, limits = dict(resources.requests), dict(resources.limits)
    if profile.resource_name is not None:
        requests[profile.resource_name] = str(accelerator_count)
        limits[profile.resource_name] = str(accelerator_count)
    found = {"requests": requests, "limits": limits}
    return {key: value for key, value in found.items() if value}


def contradiction(profile: AcceleratorProfile, node_selector: Mapping[str, str]) -> str | None:
    """Return the label of a selector that the accelerator's nodes cannot have, as name=value."""
    for label, needed in profile.node_selector.items():
        if node_selector.get(label, needed) != needed:
            return f"{label}={needed}"
    return None
