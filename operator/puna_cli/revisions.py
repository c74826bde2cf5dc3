"""`puna history` and `puna rollback`: the stored revisions of an LLMEndpoint, and back to one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from puna.core.naming import ANNOTATION_ROLLBACK
from puna_cli.canary import find
from puna_cli.errors import CommandError
from puna_cli.kubectl import Kubectl

Object: TypeAlias = Mapping[str, Any]
COLUMNS = ("revision", "part", "model", "preset", "stored", "took over")


def history(kubectl: Kubectl, namespace: str, name: str) -> tuple[list[tuple[str, ...]], str]:
    """Rows of the stored revisions, newest first, under COLUMNS; and what is rolled out.

    Raises:
        CommandError: there is no such endpoint.
    """
    status = find(kubectl, namespace, name).get("status", {})
    rollout = status.get("summary", {}).get("rollout") or "not begun"
    revisions = sorted(status.get("revisions", ()), key=_stored, reverse=True)
    return [_row(status, revision) for revision in revisions], rollout


def rollback(kubectl: Kubectl, namespace: str, name: str, revision: str | None, *, now: int) -> str:
    """Order that a stored revision serves, by default the one before; says what comes of it.

    Raises:
        CommandError: there is no such endpoint or revision; names those that there are.
    """
    endpoint = find(kubectl, namespace, name)
    status = endpoint.get("status", {})
    meant = meant_revision(endpoint)
    there = [item for item in status.get("revisions", ()) if item["name"] != meant]
    names = ", ".join(item["name"] for item in there) or "none"
    to = revision or former(there, status)
    if to is None:
        raise CommandError(f"LLMEndpoint {name} has no former revision (stored: {names}); name one")
    if to not in {item["name"] for item in there}:
        raise CommandError(
            f"{to} is the revision that the spec means"
            if to == meant
            else f"LLMEndpoint {name} has no revision {to} to go back to; there: {names}"
        )
    _annotate(kubectl, endpoint, f"={_value(endpoint, f'{to}/{meant}', now)}")
    return (
        f"Revision {to} serves instead of {meant} as soon as it can, until the spec means another "
        f"one. To take the order back: puna rollback {name} --undo"
    )


def undo(kubectl: Kubectl, namespace: str, name: str) -> str:
    """Take an order to roll back away; says what comes of it.

    Raises:
        CommandError: there is no such endpoint, or no such order.
    """
    endpoint = find(kubectl, namespace, name)
    if ANNOTATION_ROLLBACK not in endpoint["metadata"].get("annotations", {}):
        raise CommandError(f"LLMEndpoint {name} has no order to roll back")
    _annotate(kubectl, endpoint, "-")
    return "What the spec means is rolled out again."


def meant_revision(endpoint: Object) -> str:
    """The revision that the newest spec means.

    Raises:
        CommandError: the status does not say it (yet).
    """
    metadata, status = endpoint["metadata"], endpoint.get("status", {})
    rollback = status.get("rollback")
    if rollback is not None:
        candidates = [rollback["insteadOf"]]
    else:
        revisions = status.get("revisions", ())
        candidates = [item["name"] for item in revisions if item["role"] == "Candidate"]
        candidates.append(status.get("stableRevision"))
    if candidates[0] is None or status.get("observedGeneration") != metadata.get("generation"):
        raise CommandError(
            f"the operator has not told yet which revision the newest spec of LLMEndpoint "
            f"{metadata['name']} means; look at its conditions, or try again"
        )
    meant: str = candidates[0]
    return meant


def former(revisions: Iterable[Object], status: Object) -> str | None:
    """The revision to go back to: the one that serves if another one is coming, else one before."""
    serving = status.get("stableRevision")
    coming = status.get("revisions", ())
    if "rollback" not in status and any(_is_coming(item) for item in coming):
        return str(serving)
    found = [item for item in revisions if item["name"] != serving and not item.get("outcome")]
    promoted = [item for item in found if item.get("promotedAt")]
    if promoted:
        return str(max(promoted, key=lambda item: str(item["promotedAt"]))["name"])
    return str(min(found, key=_stored)["name"]) if found else None


def _is_coming(revision: Object) -> bool:
    return revision["role"] == "Candidate" and not revision.get("outcome")


def _value(endpoint: Object, order: str, now: int) -> str:
    present = endpoint["metadata"].get("annotations", {}).get(ANNOTATION_ROLLBACK)
    is_repeated = present is not None and (present == order or present.startswith(f"{order}/"))
    return f"{order}/{now}" if is_repeated else order


def _annotate(kubectl: Kubectl, endpoint: Object, change: str) -> None:
    metadata = endpoint["metadata"]
    kubectl.run(
        *("annotate", "llmendpoint", metadata["name"], f"--namespace={metadata['namespace']}"),
        *("--overwrite", f"{ANNOTATION_ROLLBACK}{change}"),
    )


def _row(status: Object, revision: Object) -> tuple[str, ...]:
    canary, rollback = status.get("canary") or {}, status.get("rollback") or {}
    parts = [revision["role"]]
    if revision.get("outcome"):
        parts.append(revision["outcome"])
    if canary.get("revision") == revision["name"]:
        parts.append(f"{canary['weight']}%")
    if rollback.get("insteadOf") == revision["name"]:
        parts.append("rolled back")
    return (
        revision["name"],
        ", ".join(parts),
        revision["model"],
        revision.get("preset") or "",
        *(_time(revision.get(member)) for member in ("createdAt", "promotedAt")),
    )


def _stored(revision: Object) -> str:
    return str(revision.get("createdAt") or "")


def _time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%SZ}" if text else ""
