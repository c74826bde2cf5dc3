"""Split: who gets which share of the requests, and whom the routers have let go of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from puna.api.pool import Pool
from puna.endpoint.acknowledgement import is_acknowledged
from puna.endpoint.revision import StoredRevision
from puna.endpoint.rollout import Rollout
from puna.endpoint.router_config import Share, endpoint_config
from puna.endpoint.situation import Situation
from puna_router.config import config_digest


def let_go(situation: Situation, rollout: Rollout) -> tuple[Rollout, str, frozenset[str]]:
    """Return the rollout without the former revisions that every router has let go of.

    With it: the document for the routers, and the digests of the documents that send nothing to
    a former revision.
    """
    observed, shares = situation.observed, tuple(_shares(situation, rollout))

    def document(retiring: tuple[StoredRevision, ...]) -> str:
        return endpoint_config(
            namespace=situation.namespace,
            effective=situation.effective,
            created=situation.endpoint.metadata.creation_timestamp,
            shares=(*shares, *(Share(item, weight=0) for item in retiring)),
            copied=next((share.revision.name for share in shares[1:]), None),
            routing=situation.routing,
            allowed_networks=situation.settings.allowed_networks,
        ).to_json()

    without = document(())
    if not rollout.retiring:
        return rollout, without, frozenset({config_digest(without)})
    beside = document(rollout.retiring)
    digests = frozenset({config_digest(without), config_digest(beside)})
    acknowledged = is_acknowledged(
        observed.routers,
        digests,
        since=rollout.changed_at,
        now=situation.now,
        timeout=timedelta(seconds=situation.settings.router_ack_timeout_seconds),
    )
    if acknowledged and (observed.routers_asked or not observed.routers):
        return replace(rollout, retiring=()), without, digests
    return rollout, beside, digests


def _shares(situation: Situation, rollout: Rollout) -> Iterator[Share]:
    """Yield who gets requests: the stable revision, and a candidate if there is one.

    One that gets none is there as soon as it is deployed.

    The stable revision comes first: so a client that is told by its hash moves to the other one
    while that grows, and never back.
    """
    pools, candidate = situation.effective.pools, rollout.candidate
    yield Share(rollout.stable, 100 - rollout.weight, _servers(pools))
    if candidate is None:
        return
    if rollout.weight:
        yield Share(candidate, rollout.weight, _servers(rollout.candidate_pools(pools)))
    elif candidate.process in situation.census.live:
        yield Share(candidate, weight=0)


def _servers(pools: Iterable[Pool]) -> int:
    return sum(pool.replicas for pool in pools)
