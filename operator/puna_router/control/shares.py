"""Shares of an endpoint's revisions: which of them get requests, and how many."""

from __future__ import annotations

from typing import TypeAlias

from puna_router.config import RevisionConfig
from puna_router.control.world import HealthyHosts, Host, Served, cluster_name

Shares: TypeAlias = tuple[tuple[RevisionConfig, int], ...]
"""Revisions that get requests, with their weights."""


def shares(served: Served, healthy: HealthyHosts) -> Shares:
    """Revisions that get requests, with their weights.

    A weight of 0 means none. Of the others those count that have a host of their own which Envoy
    holds for healthy; where there is none yet, those that have one at all; and where nobody has
    one, all of them: then external servers answer, or Envoy with 503.
    """
    wanted = [revision for revision in served.revisions if revision.weight > 0]
    with_host = [revision for revision in wanted if _own(served, revision)]
    usable = [revision for revision in with_host if _is_healthy(served, revision, healthy)]
    return tuple((revision, revision.weight) for revision in usable or with_host or wanted)


def _is_healthy(served: Served, revision: RevisionConfig, healthy: HealthyHosts) -> bool:
    cluster = cluster_name(served.config.name, revision.name)
    return any(host.key(cluster) in healthy for host in _own(served, revision))


def _own(served: Served, revision: RevisionConfig) -> list[Host]:
    return [host for host in served.hosts(revision) if host.external is None]
