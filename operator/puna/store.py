"""Store: everything the operator knows of the cluster, in memory, found by name, owner or endpoint.

Watches fill it; so do the answers to our own writes, lest the next pass read what was before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

from puna.cluster.resources import WATCHED, ResourceType
from puna.core.naming import INSTANCE, LABEL_TRAINING_JOB
from puna.core.plan import Manifest, ObjectKey, Ref, key_of
from puna.core.sharing import FieldSetPool
from puna.core.trim import is_same
from puna_router.config import LABEL_ENDPOINT


class Change(NamedTuple):
    """One object, before and after; absent where there was or is none."""

    before: Manifest | None
    after: Manifest | None

    @property
    def manifest(self) -> Manifest:
        """The object as it was last seen."""
        manifest = self.after or self.before
        assert manifest is not None  # noqa: S101 - a change has one side at least
        return manifest


def ref_of(manifest: Manifest) -> Ref:
    """Return namespace and name of an object."""
    return Ref(manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def instance_of(manifest: Manifest) -> Ref | None:
    """Return the endpoint, the training job or the router that an object's labels name."""
    metadata = manifest["metadata"]
    labels = metadata.get("labels", {})
    name = labels.get(LABEL_ENDPOINT) or labels.get(LABEL_TRAINING_JOB) or labels.get(INSTANCE)
    return None if name is None else Ref(metadata["namespace"], name)


def endpoint_of(manifest: Manifest) -> Ref | None:
    """Return the endpoint that an object's label names."""
    metadata = manifest["metadata"]
    name = metadata.get("labels", {}).get(LABEL_ENDPOINT)
    return None if name is None else Ref(metadata["namespace"], name)


def training_job_of(manifest: Manifest) -> Ref | None:
    """Return the training job that an object's label names."""
    metadata = manifest["metadata"]
    name = metadata.get("labels", {}).get(LABEL_TRAINING_JOB)
    return None if name is None else Ref(metadata["namespace"], name)


def version_of(manifest: Manifest) -> int:
    """Return an object's version; those of one resource type can be compared."""
    return int(manifest["metadata"]["resourceVersion"])


class Store:
    """Objects of all watched types."""

    def __init__(self, changed: Callable[[Change], None]) -> None:
        """Tell `changed` what watches show; `written` returns what an own write changed."""
        self._changed = changed
        self._objects: dict[str, dict[Ref, Manifest]] = {item.kind: {} for item in WATCHED}
        self._by_namespace: _Index[tuple[str, str]] = _Index()
        self._by_owner: _Index[str] = _Index()
        self._by_instance: _Index[Ref] = _Index()
        self._pool = FieldSetPool()
        self._shown: dict[str, int] = {}
        self.revision = 0
        """Number of the last change to any object."""
        self.synced: Final = asyncio.Event()
        """Set once every watched type was listed: before, absence means nothing."""

    def find(self, kind: str, ref: Ref) -> Manifest | None:
        """Return an object of a watched kind."""
        return self._objects[kind].get(ref)

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return an object by its identity."""
        return self.find(key.kind, Ref(key.namespace, key.name))

    def all(self, kind: str) -> Iterable[Manifest]:
        """Return all objects of a kind."""
        return self._objects[kind].values()

    def count(self, kind: str) -> int:
        """Return how many objects of a kind there are."""
        return len(self._objects[kind])

    def in_namespace(self, kind: str, namespace: str) -> Iterable[Manifest]:
        """Return the objects of a kind in a namespace."""
        return self._by_namespace.members((kind, namespace))

    def owned_by(self, uid: str) -> Iterable[Manifest]:
        """Return the objects that name an owner."""
        return self._by_owner.members(uid)

    def labelled(self, instance: Ref) -> Iterable[Manifest]:
        """Return the objects with the labels of an endpoint or a router, whoever owns them."""
        return self._by_instance.members(instance)

    def listed(self, resource: ResourceType, objects: list[Manifest], version: str) -> None:
        """Take over a complete list; what is missing in it was deleted meanwhile."""
        shown = int(version)
        self._shown[resource.kind] = max(shown, self._shown.get(resource.kind, 0))
        there = {key_of(manifest) for manifest in objects}
        for manifest in list(self._objects[resource.kind].values()):
            if key_of(manifest) not in there and version_of(manifest) <= shown:
                self._remove(manifest)
                self._changed(Change(manifest, None))
        for manifest in objects:
            self._put_seen(manifest)
        if len(self._shown) == len(WATCHED):
            self.synced.set()

    def changed(self, resource: ResourceType, event: str, manifest: Manifest) -> None:
        """Take over one event of a watch."""
        self._shown[resource.kind] = version_of(manifest)
        if event != "DELETED":
            self._put_seen(manifest)
            return
        before = self.find(manifest["kind"], ref_of(manifest))
        if before is not None and version_of(before) <= version_of(manifest):
            self._remove(before)
            self._changed(Change(before, None))

    def passed(self, resource: ResourceType, version: str) -> None:
        """Learn that a watch has shown everything up to a version."""
        self._shown[resource.kind] = int(version)

    def written(self, manifest: Manifest) -> Change | None:
        """Take over the answer to an own write, unless the watch has shown what came after it."""
        before = self.find(manifest["kind"], ref_of(manifest))
        version = version_of(manifest)
        if version <= self._shown.get(manifest["kind"], 0):
            return None
        if before is not None and version_of(before) >= version:
            return None
        self._put(manifest)
        return Change(before, manifest)

    def deleted(self, manifest: Manifest) -> None:
        """Forget an object that we have deleted."""
        if self.find(manifest["kind"], ref_of(manifest)) is manifest:
            self._remove(manifest)

    def _put_seen(self, manifest: Manifest) -> None:
        before = self.find(manifest["kind"], ref_of(manifest))
        if before is not None and version_of(before) >= version_of(manifest):
            return
        self._put(manifest)
        if before is None or not is_same(before, manifest):
            self._changed(Change(before, manifest))

    def _put(self, manifest: Manifest) -> None:
        self.revision += 1
        kind, ref = manifest["kind"], ref_of(manifest)
        before = self._objects[kind].get(ref)
        if before is not None:
            self._remove(before)
        self._pool.share(manifest)
        self._objects[kind][ref] = manifest
        self._by_namespace.add((kind, ref.namespace), manifest)
        for uid in _owners(manifest):
            self._by_owner.add(uid, manifest)
        instance = instance_of(manifest)
        if instance is not None:
            self._by_instance.add(instance, manifest)

    def _remove(self, manifest: Manifest) -> None:
        self.revision += 1
        kind, ref = manifest["kind"], ref_of(manifest)
        del self._objects[kind][ref]
        self._by_namespace.discard((kind, ref.namespace), manifest)
        for uid in _owners(manifest):
            self._by_owner.discard(uid, manifest)
        instance = instance_of(manifest)
        if instance is not None:
            self._by_instance.discard(instance, manifest)


IndexT = TypeVar("IndexT")


class _Index(Generic[IndexT]):
    """Objects by a value that several of them share."""

    def __init__(self) -> None:
        self._groups: dict[IndexT, dict[str, Manifest]] = {}

    def members(self, value: IndexT) -> Iterable[Manifest]:
        group = self._groups.get(value)
        return () if group is None else tuple(group.values())

    def add(self, value: IndexT, manifest: Manifest) -> None:
        self._groups.setdefault(value, {})[manifest["metadata"]["uid"]] = manifest

    def discard(self, value: IndexT, manifest: Manifest) -> None:
        group = self._groups[value]
        del group[manifest["metadata"]["uid"]]
        if not group:
            del self._groups[value]


def _owners(manifest: Manifest) -> frozenset[str]:
    return frozenset(owner["uid"] for owner in manifest["metadata"].get("ownerReferences", ()))
