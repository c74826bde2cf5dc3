"""The anchor: the ConfigMap that all endpoints of a namespace own, and that owns their router."""

from __future__ import annotations

from collections.abc import Iterable

from puna.core.naming import COMPONENT_ROUTER, ROUTER_NAME, labels
from puna.core.plan import Manifest
from puna.namespace.observed import RouterNamespace


def router_labels() -> dict[str, str]:
    """Return the labels of everything that belongs to a namespace's router."""
    return labels(instance=ROUTER_NAME, component=COMPONENT_ROUTER)


def build_anchor(namespace: RouterNamespace) -> Manifest:
    """Return the anchor with every endpoint as an owner: it goes with the last of them."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROUTER_NAME,
            "namespace": namespace.namespace,
            "labels": router_labels(),
            "ownerReferences": [
                {
                    "apiVersion": endpoint.api_version,
                    "kind": endpoint.kind,
                    "name": endpoint.metadata.name,
                    "uid": endpoint.metadata.uid,
                }
                for endpoint in namespace.endpoints
            ],
        },
    }


def find_anchor(children: Iterable[Manifest]) -> Manifest | None:
    """Return the anchor among observed objects."""
    return next(
        (
            child
            for child in children
            if child["kind"] == "ConfigMap" and child["metadata"]["name"] == ROUTER_NAME
        ),
        None,
    )
