"""The plan of a namespace's router: one anchor, and everything it owns."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from puna.api.reasons import Reason
from puna.core.findings import Finding
from puna.core.naming import BACKEND_KEY_MEMBER, digest8
from puna.core.plan import Manifest, Plan
from puna.namespace.access import (
    build_role_binding,
    build_secrets_role,
    build_service_account,
    router_secrets,
)
from puna.namespace.anchor import build_anchor, find_anchor
from puna.namespace.backend_key import build_backend_key
from puna.namespace.deployment import build_deployment
from puna.namespace.network_policy import build_network_policies
from puna.namespace.observed import ObservedNamespace, RouterNamespace
from puna.namespace.service import build_disruption_budget, build_service
from puna.settings import Settings

LOOK_AGAIN: Final = timedelta(seconds=10)
REJECTED_INTERVAL: Final = timedelta(seconds=60)


def plan(
    namespace: RouterNamespace,
    observed: ObservedNamespace,
    settings: Settings,
    now: datetime,  # noqa: ARG001 - every plan has the same signature
) -> Plan[Finding | None]:
    """Return the shared objects: the anchor first; the rest once the anchor can own them.

    The status is what keeps the router from being built, for the endpoints to tell.
    """
    if observed.foreign:
        return Plan(None, _conflict(observed), requeue_after=LOOK_AGAIN)
    refused = _refused(observed)
    requeue = REJECTED_INTERVAL if observed.rejected is not None else None
    anchor = build_anchor(namespace)
    live = find_anchor(observed.children)
    if live is None:
        return Plan((anchor,), refused, requeue_after=requeue)
    name = namespace.namespace
    account = _find(observed, "ServiceAccount")
    key = build_backend_key(name, existing=observed.backend_key, fresh_key=observed.fresh_key)
    deployment = build_deployment(
        name,
        settings.router,
        backend_key=digest8(key["data"][BACKEND_KEY_MEMBER]),
        account_uid=account["metadata"].get("uid") if account else None,
        previous=_find(observed, "Deployment"),
    )
    budget = build_disruption_budget(name, settings.router)
    children = (
        anchor,
        key,
        build_service_account(name),
        build_role_binding(name),
        *build_secrets_role(name, router_secrets(namespace.endpoints)),
        *((deployment,) if deployment else ()),
        build_service(name, settings.router),
        *build_network_policies(name, settings),
        *((budget,) if budget else ()),
    )
    return Plan(children, refused, requeue_after=requeue)


def _conflict(observed: ObservedNamespace) -> Finding:
    key = min(observed.foreign)
    return Finding(
        Reason.NAME_CONFLICT,
        f"{key.kind} {key.name} exists and does not belong to Puna, so the namespace gets no "
        "router; delete it or create the LLMEndpoint in another namespace",
    )


def _refused(observed: ObservedNamespace) -> Finding | None:
    if observed.rejected is None:
        return None
    return Finding(Reason.APPLY_REJECTED, f"the namespace's router: {observed.rejected}")


def _find(observed: ObservedNamespace, kind: str) -> Manifest | None:
    return next((child for child in observed.children if child["kind"] == kind), None)
