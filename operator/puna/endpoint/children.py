"""The children of an endpoint, and which of its revisions runs in which pool."""

from __future__ import annotations

from collections.abc import Iterable

from puna.api.pool import Pool
from puna.core.naming import BACKEND_KEY_DIGEST, digest8
from puna.core.plan import Manifest
from puna.endpoint.deployment import build_deployment, deployed_pool
from puna.endpoint.disruption_budget import build_disruption_budget
from puna.endpoint.restore import carried_revisions
from puna.endpoint.revision import StoredRevision, build_revision
from puna.endpoint.rollout import Rollout, history
from puna.endpoint.router_config import build_router_config
from puna.endpoint.service import build_service
from puna.endpoint.situation import Situation


def build_children(situation: Situation, rollout: Rollout, document: str) -> tuple[Manifest, ...]:
    """Return all children in the order of application: what starts Pods comes first."""
    name, namespace, pools = situation.name, situation.namespace, situation.effective.pools
    following = 1 + max((item.number for item in rollout.revisions), default=0)
    revisions = [
        build_revision(item, namespace=namespace, endpoint=name, next_number=following)
        for item in history(rollout, situation.history_limit)
        if not item.outdated
    ]
    deployments = [
        build_deployment(
            namespace=namespace,
            endpoint=name,
            pool=pool,
            revision=revision,
            strategy=situation.effective.strategy,
            settings=situation.settings,
            backend_key=key,
            carried=_carried(rollout, revision.process, following),
        )
        for revision, pool in _wanted_servers(situation, rollout)
        if (key := _backend_key(situation, pool, revision)) is not None
    ]
    budgets = [
        budget
        for pool in pools
        if (budget := build_disruption_budget(namespace=namespace, endpoint=name, pool=pool))
    ]
    return (
        *revisions,
        *deployments,
        build_router_config(document, namespace=namespace, endpoint=name),
        *budgets,
        build_service(namespace=namespace, endpoint=name, settings=situation.settings.router),
    )


def _carried(rollout: Rollout, process: str, next_number: int) -> str:
    """Return what the Deployments of a process carry of those that it serves."""
    active = (rollout.stable, rollout.candidate, rollout.rejected, *rollout.retiring)
    serving = (item for item in active if item is not None and item.process == process)
    return carried_revisions(serving, next_number=next_number)


def _wanted_servers(
    situation: Situation, rollout: Rollout
) -> Iterable[tuple[StoredRevision, Pool]]:
    """Yield which revision is to run in which pool.

    What a change of revision brings for the pools is for the new one alone: servers that stay until
    it is there are not restarted, whatever else was edited.
    """
    pools = situation.effective.pools
    stable, candidate = rollout.stable, rollout.candidate
    coming = candidate.process if candidate is not None else situation.effective.process
    if not rollout.waiting_for_old:
        kept = _deployed_pools(situation, stable.process) if coming != stable.process else {}
        yield from ((stable, pool) for pool in kept.values())
        yield from ((stable, pool) for pool in pools if pool.name not in kept)
    if candidate is not None and not rollout.shares_pods and not rollout.announced:
        yield from ((candidate, pool) for pool in rollout.candidate_pools(pools))
    for former in rollout.retiring:
        for pool in _deployed_pools(situation, former.process, may_grow=False).values():
            yield former, pool


def _deployed_pools(
    situation: Situation, process: str, *, may_grow: bool = True
) -> dict[str, Pool]:
    """Return the pools of a process as they were rendered, with the replicas of today."""
    today = {pool.name: pool for pool in situation.effective.pools}
    found = {}
    for (name, owner), deployment in sorted(situation.census.deployed.items()):
        pool = deployed_pool(deployment) or today.get(name)
        if owner != process or pool is None:
            continue
        replicas = today[name].replicas if name in today else pool.replicas
        if not may_grow:
            replicas = min(replicas, deployment["spec"].get("replicas", 1))
        found[name] = pool.model_copy(update={"replicas": replicas})
    return found


def _backend_key(situation: Situation, pool: Pool, revision: StoredRevision) -> str | None:
    """Return the digest of the key that the servers of a Deployment have to require.

    While the Secret is away a Deployment keeps what it has; before it is there none is made,
    since no Pod could start.
    """
    if situation.backend_key is not None:
        return digest8(situation.backend_key)
    deployment = situation.census.deployed.get((pool.name, revision.process))
    if deployment is None:
        return None
    metadata = deployment["spec"]["template"]["metadata"]
    digest: str | None = metadata.get("annotations", {}).get(BACKEND_KEY_DIGEST)
    return digest
