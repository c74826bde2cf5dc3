"""The Deployment of one pool and process hash."""

from __future__ import annotations

from typing import Final

from puna.api.pool import Pool
from puna.api.rollout import RolloutStrategy
from puna.core.naming import COMPONENT_MODEL, child_name, endpoint_labels
from puna.core.plan import Manifest
from puna.endpoint.pod import pod_template, selector_labels
from puna.endpoint.restore import CARRIED
from puna.endpoint.revision import StoredRevision
from puna.settings import Settings

POOL_SPEC: Final = "puna.dev/pool-spec"
"""Pool that the Pods were rendered for, as JSON; replicas are in `spec`."""


def deployment_name(endpoint: str, pool: str, process: str) -> str:
    """Return the name of a pool's Deployment; the process hash covers the endpoint's name."""
    return child_name(endpoint, pool, process)


def build_deployment(
    *,
    namespace: str,
    endpoint: str,
    pool: Pool,
    revision: StoredRevision,
    strategy: RolloutStrategy,
    settings: Settings,
    backend_key: str,
    carried: str,
) -> Manifest:
    """Return the Deployment that runs a revision's process in one pool.

    `carried` is what it takes along to restore revisions from.
    """
    profile = revision.profile(pool.accelerator, settings)
    one_slot = profile.resource_name is not None or strategy is RolloutStrategy.REPLACE
    surge = (
        {"maxSurge": 0, "maxUnavailable": 1} if one_slot else {"maxSurge": 1, "maxUnavailable": 0}
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(endpoint, pool.name, revision.process),
            "namespace": namespace,
            "labels": endpoint_labels(
                endpoint, COMPONENT_MODEL, pool=pool.name, process=revision.process
            ),
            "annotations": {
                POOL_SPEC: pool.model_dump_json(
                    by_alias=True, exclude={"replicas"}, exclude_defaults=True
                ),
                CARRIED: carried,
            },
        },
        "spec": {
            "replicas": pool.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": settings.progress_deadline_seconds,
            "selector": {"matchLabels": selector_labels(endpoint, pool.name, revision.process)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": surge},
            "template": pod_template(
                revision.data.template,
                endpoint=endpoint,
                process=revision.process,
                threads=revision.data.server.threads,
                pool=pool,
                profile=profile,
                backend_key=backend_key,
            ),
        },
    }


def deployed_pool(deployment: Manifest) -> Pool | None:
    """Return the pool that a live Deployment was rendered for, if it says so."""
    text = deployment["metadata"].get("annotations", {}).get(POOL_SPEC)
    if text is None:
        return None
    pool = Pool.model_validate_json(text)
    return pool.model_copy(update={"replicas": deployment["spec"].get("replicas", 1)})
