"""The PodDisruptionBudget of one pool."""

from __future__ import annotations

from puna.api.pool import Pool
from puna.core.naming import (
    COMPONENT_MODEL,
    LABEL_ENDPOINT,
    LABEL_POOL,
    child_name,
    digest8,
    endpoint_labels,
)
from puna.core.plan import Manifest


def build_disruption_budget(*, namespace: str, endpoint: str, pool: Pool) -> Manifest | None:
    """Return a budget of one Pod at a time; None for one replica: it would pin that to its node."""
    if pool.replicas <= 1:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": child_name(endpoint, pool.name, digest8([endpoint, pool.name])),
            "namespace": namespace,
            "labels": endpoint_labels(endpoint, COMPONENT_MODEL, pool=pool.name),
        },
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {LABEL_ENDPOINT: endpoint, LABEL_POOL: pool.name}},
        },
    }
