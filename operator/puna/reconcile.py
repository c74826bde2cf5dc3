"""Reconciliation: one pass over one resource, the same for every kind.

    observe -> plan -> apply what differs -> prune -> status once -> events -> look again later

The only place that decides the order of side effects. It knows no kind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from puna.api.resource import Model
from puna.cluster.errors import ConflictError, NotFoundError, RejectedError
from puna.cluster.resources import SECRETS
from puna.context import Context
from puna.core.backoff import REJECTED_SECONDS
from puna.core.keyed_queue import Key
from puna.core.ownership import is_note, owned
from puna.core.pacing import next_turn
from puna.core.plan import Event, Manifest, ObjectKey, Plan, key_of, prune
from puna.core.standing import Standing, standing
from puna.kind import Kind, ObservedT, ResourceT, StatusT, StoredStatus
from puna.parsed import InvalidResourceError
from puna.triggers import content

GONE_SECONDS: Final = 1.0
"""Wait for the garbage collector to remove what a former resource of the same name owned."""

SETTLE_SECONDS: Final = 0.2
"""Wait between a start of Pods and a look at what became of them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pass ended."""

    again: float | None
    """Seconds until the next look."""
    rejected: str | None = None
    """What the API server refused, in its words."""


async def reconcile(
    kind: Kind[ResourceT, ObservedT, StatusT], key: Key, context: Context
) -> Outcome:
    """Bring one resource's children and status to what its plan says.

    Raises:
        ClusterError: the API server did not take part; nothing is lost, try again.
    """
    work = _Pass(key, context, kind.first)
    try:
        resource = kind.find(context, key.ref)
        if resource is None:
            return Outcome(None)  # what it owned is the garbage collector's
        observed = await kind.observe(context, resource)
    except InvalidResourceError as error:
        return await _refuse(kind.status, str(error), work)

    def decide(**facts: Any) -> Plan[StatusT]:
        seen = replace(observed, **facts) if facts else observed
        return kind.plan(resource, seen, context.settings, context.clock())

    if not observed.children:
        await context.unlabelled.expect(key.ref.namespace, kind.always)
    plan = decide()
    if plan.children is not None:
        owner = kind.owner(context.store, resource)
        wanted = [owned(manifest, owner) for manifest in plan.children]
        there = await work.survey(wanted)
        foreign = _held(Standing.FOREIGN, wanted, there)
        if foreign:
            plan = decide(foreign=foreign)
            wanted = [owned(manifest, owner) for manifest in plan.children or ()]
        orphaned = _held(Standing.ORPHANED, wanted, there)
        await work.apply(
            [manifest for manifest in wanted if key_of(manifest) not in foreign | orphaned],
            there,
            plan.urgent,
        )
        if work.postponed:
            return Outcome(0.0)
        if work.rejected is not None:
            plan = decide(rejected=work.rejected)
        elif plan.children is not None and not plan.partial:
            await work.prune(observed.children, plan.children)
        work.waiting = bool(orphaned)
        if work.applied and work.rejected is None and not work.started:
            observed = await kind.observe(context, resource)
            plan = decide()  # what has just been made is part of what the status tells
            wanted = [owned(manifest, owner) for manifest in plan.children or ()]
            work.unfinished = any(map(work.is_stale, wanted))
    work.settling = work.rejected is None and (
        work.started or kind.settles(observed, context.clock())
    )
    if kind.status is not None and not work.settling:
        await work.store_status(kind.status, kind.status.read(resource), plan.status, plan.events)
    if kind.tell is not None:
        kind.tell(context, key.ref, plan.status)
    if plan.expired:
        await work.expire()
    return Outcome(_again(plan, work), work.rejected)


async def _refuse(stored: StoredStatus[Any] | None, message: str, work: _Pass) -> Outcome:
    """Say in the status that a resource cannot be read; a change of it wakes it again."""
    manifest = work.context.store.find(work.key.kind, work.key.ref)
    if stored is not None and manifest is not None:
        status = stored.invalid(manifest, message, work.context.clock())
        if status.to_dict() != manifest.get("status"):
            await work.store_status(stored, None, status, ())
    return Outcome(None, message)


def _again(plan: Plan[Any], work: _Pass) -> float | None:
    """Return when to look again."""
    waits = [plan.requeue_after.total_seconds()] if plan.requeue_after is not None else []
    if work.rejected is not None:
        return max([*waits, REJECTED_SECONDS])
    if work.settling:
        waits.append(work.settling)
    if work.unfinished:
        waits.append(0.0)
    if work.waiting:
        waits.append(GONE_SECONDS)
    return min(waits, default=None)


def _held(
    by: Standing, wanted: Iterable[Manifest], there: Mapping[ObjectKey, Manifest]
) -> frozenset[ObjectKey]:
    """Return which wanted names are held by objects of a standing."""
    return frozenset(
        child
        for manifest in wanted
        if (child := key_of(manifest)) in there and standing(manifest, there[child]) is by
    )


@dataclass(slots=True)
class _Pass:
    """The effects of one pass."""

    key: Key
    context: Context
    first: frozenset[str] | None
    applied: int = field(default=0, init=False)
    started: bool = field(default=False, init=False)
    """Whether something was applied that starts Pods."""
    postponed: bool = field(default=False, init=False)
    """Whether the rest waits until other resources' Pods are started."""
    waiting: bool = field(default=False, init=False)
    """Whether a child's name is still held by what is being collected."""
    unfinished: bool = field(default=False, init=False)
    """Whether what was applied makes more to be applied."""
    settling: float = field(default=0.0, init=False)
    """Seconds that the status waits for controllers to take up what was started."""
    rejected: str | None = field(default=None, init=False)

    async def survey(self, wanted: Iterable[Manifest]) -> dict[ObjectKey, Manifest]:
        """Return what exists under the wanted names, ours or not.

        Watches show what carries our label; the rest is listed before a name is used.
        """
        found: dict[ObjectKey, Manifest] = {}
        unknown: list[ObjectKey] = []
        for manifest in wanted:
            child = key_of(manifest)
            live = self.context.store.get(child)
            if live is not None:
                found[child] = live
            elif child.kind != SECRETS.kind:  # watched by name, whatever its labels are
                unknown.append(child)
        places = sorted({(child.kind, child.namespace) for child in unknown})
        unlabelled = self.context.unlabelled
        reads = await asyncio.gather(*(unlabelled.by_name(*place) for place in places))
        names = dict(zip(places, reads, strict=True))
        for child in unknown:
            metadata = names[child.kind, child.namespace].get(child.name)
            if metadata is not None:
                found[child] = metadata
        return found

    async def apply(
        self,
        wanted: Iterable[Manifest],
        there: Mapping[ObjectKey, Manifest],
        urgent: frozenset[ObjectKey],
    ) -> None:
        """Apply what differs in the plan's order, but what starts Pods together and first.

        What is urgent goes before everything. What only notes something on such an object waits for
        everything that acts.
        """
        others = []
        for manifest in wanted:
            if key_of(manifest) not in urgent:
                others.append(manifest)
            elif self.is_stale(manifest):
                self._log("applies at once", key_of(manifest))
                await self._apply_one(manifest, there)
        stale = [manifest for manifest in others if self.is_stale(manifest)]
        if self.first is None:
            for manifest in stale:
                await self._apply_one(manifest, there)
            return
        first, notes, others = [], [], []
        for manifest in stale:
            if manifest["kind"] not in self.first:
                others.append(manifest)
            elif self._is_note(manifest):
                notes.append(manifest)
            else:
                first.append(manifest)
        sent = [self._apply_one(manifest, there) for manifest in first]
        for failure in await asyncio.gather(*sent, return_exceptions=True):
            if failure is not None:
                raise failure
        self.started = bool(first)
        for manifest in (*others, *notes):
            if self.context.wakeups.queue.has_urgent():
                self.postponed = True
                return
            await self._apply_one(manifest, there)

    async def prune(self, children: Iterable[Manifest], wanted: Iterable[Manifest]) -> None:
        """Delete children that are no longer wanted."""
        for manifest in prune(children, wanted):
            child = key_of(manifest)
            await self.context.client.delete(child, manifest["metadata"]["uid"])
            self.context.store.deleted(manifest)
            self.context.rewritten.pop(child, None)
            self.context.comparisons.forget(child)
            self._log("deleted", child)

    async def store_status(
        self,
        stored: StoredStatus[Any],
        before: Model | None,
        status: Any,
        events: Iterable[Event],
    ) -> None:
        """Write the status if it changed, then tell the events of the change."""
        if status == before:
            return
        turns, sent = self.context.turns, self.context.clock()
        try:
            live = await self.context.apply_status(stored.resource, status.to_dict(), by=self.key)
        except NotFoundError:
            return  # deleted meanwhile
        turns[self.key] = next_turn(turns.get(self.key), sent)
        for event in events:
            self.context.events.emit(live, event, self.context.clock())

    async def expire(self) -> None:
        """Delete the resource itself, and with it everything that it owns."""
        manifest = self.context.store.find(self.key.kind, self.key.ref)
        if manifest is not None:
            await self.context.client.delete(key_of(manifest), manifest["metadata"]["uid"])

    def is_stale(self, manifest: Manifest) -> bool:
        """Return whether a child is to be applied."""
        child = key_of(manifest)
        live = self.context.store.get(child)
        if live is None:
            return True
        if not self.context.comparisons.differs(manifest, live):
            return False
        # To write the same again would change nothing, again and again.
        return self.context.rewritten.get(child) != (manifest, content(live))

    def _is_note(self, manifest: Manifest) -> bool:
        """Return whether only the metadata of a child is to be written: that starts nothing."""
        live = self.context.store.get(key_of(manifest))
        return live is not None and is_note(manifest, live)

    async def _apply_one(self, manifest: Manifest, there: Mapping[ObjectKey, Manifest]) -> None:
        """Apply one child; a refusal is remembered and the others go on."""
        child = key_of(manifest)
        try:
            await self.context.apply(manifest, force=child in there, by=self.key)
        except RejectedError as error:
            self.rejected = self.rejected or f"{child.kind} {child.name}: {error.message}"
            return
        except ConflictError:
            self.context.unlabelled.expire(child.kind, child.namespace)
            raise
        self.applied += 1
        self._log("applied", child)
        self._note_rewrite(child, manifest)

    def _note_rewrite(self, child: ObjectKey, manifest: Manifest) -> None:
        """Remember what an admission policy made of a child, until one of the two changes."""
        live = self.context.store.get(child)
        if live is None or not self.context.comparisons.differs(manifest, live):
            self.context.rewritten.pop(child, None)
            return
        self.context.rewritten[child] = (manifest, content(live))
        log.warning(
            "%s %s/%s: an admission policy changed what was applied; it is left so",
            *(child.kind, child.namespace, child.name),
        )

    def _log(self, what: str, child: ObjectKey) -> None:
        name = f"{child.namespace}/{self.key.ref.name}"
        log.info("%s %s: %s %s %s", self.key.kind, name, what, child.kind, child.name)
