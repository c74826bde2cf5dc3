"""Standstill: what still happens to a canary while the spec cannot be carried out.

Its share stays, and nothing goes on. But less may be let through than before: what the spec closes
is closed, and a canary that fails, or is aborted, gets no more requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from puna.api.analysis import CanaryVerdict, Result
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import RevisionRole
from puna.core.plan import Manifest, ObjectKey, key_of
from puna.endpoint.crashes import crash_verdict
from puna.endpoint.measured import verdict_on
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.orders import Orders, read_orders
from puna.endpoint.revision import StoredRevision, build_revision
from puna.endpoint.rollout import reject
from puna.endpoint.router_config import (
    build_router_config,
    closer,
    router_config_name,
    withdrawn,
)
from puna_router.config import CONFIG_KEY


def running_canary(stored: Iterable[StoredRevision]) -> StoredRevision | None:
    """Return the canary that gets a share, if one does."""
    return next(
        (
            item
            for item in stored
            if item.role is RevisionRole.CANDIDATE
            and item.outcome is None
            and item.position.step is not None
        ),
        None,
    )


def ended_canary(
    endpoint: LLMEndpoint,
    observed: ObservedEndpoint,
    stored: Iterable[StoredRevision],
    *,
    stable: StoredRevision,
    now: datetime,
) -> StoredRevision | None:
    """Return the canary as it is rejected now; None where none is."""
    candidate = running_canary(stored)
    if candidate is None:
        return None
    given = read_orders(endpoint.metadata.annotations)
    orders = given.of(candidate.name).without(candidate.passed_over)
    if orders.abort is not None:
        return reject(candidate, None, now)
    verdict = _verdict(endpoint, observed, candidate, stable, orders)
    if verdict is None or verdict.result is not Result.FAIL:
        return None
    return reject(candidate, verdict, now)


def narrowed(
    endpoint: LLMEndpoint,
    observed: ObservedEndpoint,
    *,
    stable: StoredRevision | None,
    ended: StoredRevision | None,
) -> tuple[Manifest, ...]:
    """Return the children by which less is let through than before, if any.

    The router's document has the keys of the spec, and nothing for a canary that has ended.
    """
    name, namespace = endpoint.metadata.name, endpoint.metadata.namespace
    there = ObjectKey("v1", "ConfigMap", namespace, router_config_name(name))
    found = next((child for child in observed.children if key_of(child) == there), {})
    document = before = found.get("data", {}).get(CONFIG_KEY, "")
    document = closer(document, endpoint.spec.access) or document
    children: tuple[Manifest, ...] = ()
    if ended is not None and stable is not None:
        document = withdrawn(document, ended.name, stable.name) or document
        children = (
            build_revision(
                ended, namespace=namespace, endpoint=name, next_number=ended.number or 1
            ),
        )
    if document != before:
        children = (build_router_config(document, namespace=namespace, endpoint=name), *children)
    return children


def _verdict(
    endpoint: LLMEndpoint,
    observed: ObservedEndpoint,
    candidate: StoredRevision,
    stable: StoredRevision,
    orders: Orders,
) -> CanaryVerdict | None:
    """Return what is said of a canary by requests and servers, unless an order overrides that."""
    canary = endpoint.spec.rollout.canary
    if canary is None or orders.promote is not None:
        return None
    readings = (router.reading for router in observed.routers if router.reading is not None)
    crashes = crash_verdict(
        observed.pods,
        candidate.process,
        stable=stable.process,
        since=candidate.position.since,
    )
    return verdict_on(
        candidate, stable.name, canary, readings, unread=observed.unread, crashes=crashes
    )
