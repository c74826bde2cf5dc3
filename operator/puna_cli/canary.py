"""`puna promote`, `abort` and `retry`: an order for the canary of an endpoint, as an annotation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from puna.core.naming import ANNOTATION_ABORT, ANNOTATION_PROMOTE, ANNOTATION_RETRY
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl


def promote(kubectl: Kubectl, namespace: str, name: str, *, now: int) -> str:
    """Order that the canary of an endpoint takes over; says what comes of it.

    Raises:
        CommandError: there is no such endpoint, or it has no canary; says what there is.
    """
    endpoint = find(kubectl, namespace, name)
    revision = canary_of(endpoint)["revision"]
    _annotate(kubectl, endpoint, ANNOTATION_PROMOTE, revision, now, instead_of=ANNOTATION_ABORT)
    return f"Revision {revision} takes over as soon as all its servers are ready."


def abort(kubectl: Kubectl, namespace: str, name: str, *, now: int) -> str:
    """Order that the canary of an endpoint ends; says what comes of it.

    Raises:
        CommandError: there is no such endpoint, or it has no canary; says what there is.
    """
    endpoint = find(kubectl, namespace, name)
    canary = canary_of(endpoint)
    revision = canary["revision"]
    _annotate(kubectl, endpoint, ANNOTATION_ABORT, revision, now, instead_of=ANNOTATION_PROMOTE)
    return (
        f"Revision {revision}, which had {canary['weight']}% of the requests, gets no more; "
        f"{endpoint['status']['stableRevision']} serves until the spec changes."
    )


def retry(kubectl: Kubectl, namespace: str, name: str, *, now: int) -> str:
    """Order that a canary which was aborted or failed begins anew; says what comes of it.

    Raises:
        CommandError: there is no such endpoint, or nothing of it was rejected; says what there is.
    """
    endpoint = find(kubectl, namespace, name)
    rejected = rejected_of(endpoint)
    revision = rejected["name"]
    _annotate(kubectl, endpoint, ANNOTATION_RETRY, revision, now, instead_of=ANNOTATION_ABORT)
    outcome = {"Aborted": "was aborted", "Failed": "failed"}[rejected["outcome"]]
    return f"Revision {revision}, which {outcome}, begins its canary anew."


def rejected_of(endpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The revision in an endpoint's status that its spec means and that was rejected.

    Raises:
        CommandError: there is none, or another one is to serve instead; says what there is.
    """
    status = endpoint.get("status", {})
    name = endpoint["metadata"]["name"]
    rollback = status.get("rollback")
    if rollback is not None:
        raise CommandError(
            f"LLMEndpoint {name} is rolled back to {rollback['revision']}; "
            f"first: puna rollback {name} --undo"
        )
    for revision in status.get("revisions", ()):
        if revision["role"] == "Candidate" and revision.get("outcome"):
            found: Mapping[str, Any] = revision
            return found
    rollout = status.get("summary", {}).get("rollout") or "not begun"
    raise CommandError(f"LLMEndpoint {name} has no rejected canary; its rollout: {rollout}")


def find(kubectl: Kubectl, namespace: str, name: str) -> Mapping[str, Any]:
    """The endpoint of a name.

    Raises:
        CommandError: there is none; names those that there are.
    """
    text = kubectl.run("get", "llmendpoints", f"--namespace={namespace}", "-o=json")
    endpoints: Sequence[Mapping[str, Any]] = json.loads(text)["items"]
    by_name = {endpoint["metadata"]["name"]: endpoint for endpoint in endpoints}
    if name in by_name:
        return by_name[name]
    there = ", ".join(sorted(by_name)) or "none"
    raise CommandError(
        f"there is no LLMEndpoint {name} in namespace {namespace}; there: {there} "
        "(--namespace names another one)"
    )


def canary_of(endpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The canary in an endpoint's status.

    Raises:
        CommandError: there is none; says what is rolled out instead.
    """
    status = endpoint.get("status", {})
    canary: Mapping[str, Any] | None = status.get("canary")
    if canary is not None:
        return canary
    strategy = endpoint["spec"].get("rollout", {}).get("strategy", "Surge")
    rollout = status.get("summary", {}).get("rollout") or "not begun"
    raise CommandError(
        f"LLMEndpoint {endpoint['metadata']['name']} has no canary; "
        f"its strategy is {strategy}, its rollout: {rollout}"
    )


def order_value(revision: str, present: str | None, now: int) -> str:
    """Value of an order: the revision; with the time behind it where it was ordered before."""
    is_repeated = present is not None and present.partition("/")[0] == revision
    return f"{revision}/{now}" if is_repeated else revision


def _annotate(
    kubectl: Kubectl,
    endpoint: Mapping[str, Any],
    annotation: str,
    revision: str,
    now: int,
    *,
    instead_of: str,
) -> None:
    metadata = endpoint["metadata"]
    present = metadata.get("annotations", {}).get(annotation)
    kubectl.run(
        *("annotate", "llmendpoint", metadata["name"], f"--namespace={metadata['namespace']}"),
        *("--overwrite", f"{annotation}={order_value(revision, present, now)}"),
        f"{instead_of}-",
    )
