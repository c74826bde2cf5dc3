"""Kind: what the one reconciliation loop has to know of a kind of resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from puna.api.resource import Model
from puna.cluster.resources import ResourceType
from puna.context import Context
from puna.core.plan import Manifest, Plan, Ref
from puna.settings import Settings
from puna.store import Store

ResourceT = TypeVar("ResourceT")
ObservedT = TypeVar("ObservedT", bound=Any)
"""A frozen dataclass with `children`, `foreign` and `rejected`."""
StatusT = TypeVar("StatusT")


@dataclass(frozen=True, slots=True)
class StoredStatus(Generic[ResourceT]):
    """The status of a kind as the API server holds it."""

    resource: ResourceType
    read: Callable[[ResourceT], Model]
    invalid: Callable[[Manifest, str, datetime], Model]
    """The status of a resource that cannot be read, with what stands in the way."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[ResourceT, ObservedT, StatusT]):
    """One kind of resource: how it is read, planned and owned."""

    name: str
    find: Callable[[Context, Ref], ResourceT | None]
    """The resource, unless it is gone or going."""
    observe: Callable[[Context, ResourceT], Awaitable[ObservedT]]
    plan: Callable[[ResourceT, ObservedT, Settings, datetime], Plan[StatusT]]
    owner: Callable[[Store, ResourceT], Manifest | None]
    """Owner reference of those children that name no owner themselves."""
    status: StoredStatus[ResourceT] | None
    """Where the status is stored; None: the kind has none."""
    tell: Callable[[Context, Ref, StatusT], None] | None
    """What becomes of the status of a kind that stores none."""
    first: frozenset[str] | None
    """Kinds of children that start Pods: they go out before all others, and before what other
    resources have left to do. None: others wait for this kind, all its children come first."""
    always: tuple[str, ...]
    """Kinds of children that every resource has: their names are looked up while a new resource is
    being planned."""
    settles: Callable[[ObservedT, datetime], float]
    """Seconds that Pods which are just being started may take to appear, 0 if all are there: until
    then a status would be out of date at once."""
