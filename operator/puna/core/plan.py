"""Plans: what a decision returns and the shell carries out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from puna.api.reasons import EventReason

Manifest: TypeAlias = dict[str, Any]
"""Partial object in API spelling: only the fields that Puna owns."""

StatusT = TypeVar("StatusT")


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Namespace and name of an object."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Identity of one object on the API server."""

    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a resource, told once."""

    type: Literal["Normal", "Warning"]
    reason: EventReason
    message: str


@dataclass(frozen=True, slots=True)
class Plan(Generic[StatusT]):
    """Everything that one pass wants to be true."""

    children: tuple[Manifest, ...] | None
    """The complete wanted set in the order of application, the rest is pruned; None: touch none."""
    status: StatusT
    """The complete status, not a patch."""
    events: tuple[Event, ...] = ()
    """Sent only after the status is stored."""
    requeue_after: timedelta | None = None
    """When to look again without being woken."""
    partial: bool = False
    """Whether children that are not in the set stay as they are."""
    urgent: frozenset[ObjectKey] = frozenset()
    """Children that are applied before all others."""
    expired: bool = False
    """Whether the resource itself is to be deleted, and with it everything that it owns."""


def key_of(manifest: Manifest) -> ObjectKey:
    """Return the identity of an object or of a partial one."""
    metadata = manifest["metadata"]
    return ObjectKey(
        manifest["apiVersion"], manifest["kind"], metadata["namespace"], metadata["name"]
    )


def prune(observed: Iterable[Manifest], wanted: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Return the observed children that are not wanted and not already being deleted."""
    keep = {key_of(manifest) for manifest in wanted}
    return tuple(
        child
        for child in observed
        if key_of(child) not in keep and "deletionTimestamp" not in child["metadata"]
    )
