"""Restore: a revision whose ControllerRevision was deleted, from what still runs of it.

Each Deployment carries the data of the revisions that its Pods serve, so that nothing has to be
rendered anew: another operator would render another Pod. Which part a revision played is told by
the routers' document, whose first revision is the stable one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from puna.api.llmendpoint_status import RevisionRole
from puna.api.rollout import Canary
from puna.core.plan import Manifest
from puna.endpoint.canary import Position
from puna.endpoint.orders import Orders
from puna.endpoint.revision import RevisionData, StoredRevision, newest_first, stored_revisions
from puna_router.config import CONFIG_KEY, EndpointConfig

CARRIED: Final = "puna.dev/revisions"
"""Annotation of Deployments: the revisions that their Pods serve, as JSON."""
MOST_CARRIED: Final = 200_000
"""Bytes of that annotation; the API server allows 256 KiB for all of an object's."""
SHARED: Final = ("template", "accelerators")
"""Members of the data that revisions with the same Pods have in common."""


def carried_revisions(revisions: Iterable[StoredRevision], *, next_number: int) -> str:
    """Return the annotation for revisions with the same Pods, the most important one first.

    Those that do not fit are left out: they are stored all the same.
    """
    records: list[Any] = []
    text = ""
    first: Mapping[str, Any] = {}
    for revision in revisions:
        data = dict(revision.raw if revision.raw is not None else revision.data.to_dict())
        first = first or data
        own = {
            name: value
            for name, value in data.items()
            if data is first or name not in SHARED or value != first[name]
        }
        number = revision.number or next_number
        records.append({"name": revision.name, "number": number, "data": _as_stored(own)})
        longer = json.dumps(records, ensure_ascii=False, separators=(",", ":"))
        if len(longer.encode()) > MOST_CARRIED:
            break
        text = longer
    return text


def known_revisions(children: Iterable[Manifest]) -> tuple[StoredRevision, ...]:
    """Return the stored revisions and those that only Deployments know of, newest first."""
    children = tuple(children)
    stored = stored_revisions(children)
    names = {item.name for item in stored}
    lost = {item.name: item for item in _carried(children) if item.name not in names}
    if not lost:
        return stored
    if not any(item.role is RevisionRole.STABLE for item in stored):
        config = _document(children)
        first = config.revisions[0].name if config and config.revisions else None
        if config is None:
            first = min(lost.values(), key=lambda item: (item.number, item.name)).name
        if first in lost:
            lost[first] = replace(lost[first], role=RevisionRole.STABLE)
    return newest_first((*stored, *lost.values()))


def taken_up(
    known: Iterable[StoredRevision],
    children: Iterable[Manifest],
    *,
    canary: Canary | None,
    orders: Orders,
    now: datetime,
) -> tuple[StoredRevision, ...]:
    """Return the revisions with what is known of the share that a lost one had.

    A canary goes on at the step whose weight it has, from now on. Orders that are there were there
    before, but one to roll back which is being carried out.
    """
    known = tuple(known)
    if not any(item.lost for item in known):
        return known
    to = (orders.rollback or "").partition("/")[0]
    goes_back = any(item.name == to and item.role is RevisionRole.CANDIDATE for item in known)
    config = _document(children)
    weights = {item.name: item.weight for item in config.revisions} if config else {}
    steps = [step.weight for step in canary.steps] if canary else []

    def with_share(item: StoredRevision) -> StoredRevision:
        if item.role is RevisionRole.STABLE:
            void = Orders() if goes_back else orders.rollbacks()
            return replace(item, promoted_at=now, passed_over=void)
        weight = weights.get(item.name)
        if not weight or weight not in steps:
            return item
        position = Position(steps.index(weight), now)
        return replace(
            item, role=RevisionRole.CANDIDATE, proven=True, position=position, passed_over=orders
        )

    return tuple(with_share(item) if item.lost else item for item in known)


def _carried(children: Iterable[Manifest]) -> Iterator[StoredRevision]:
    """Yield the revisions that Deployments carry; what cannot be read counts as not there."""
    for child in children:
        if child["kind"] != "Deployment" or "deletionTimestamp" in child["metadata"]:
            continue
        try:
            records = json.loads(child["metadata"].get("annotations", {}).get(CARRIED, "[]"))
            yield from list(_read(records, proven=_was_complete(child)))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _read(records: Iterable[Mapping[str, Any]], *, proven: bool) -> Iterator[StoredRevision]:
    first: Mapping[str, Any] = {}
    for record in records:
        own = record["data"]
        first = first or own
        data = {member: first[member] for member in SHARED} | own
        yield StoredRevision(
            name=record["name"],
            data=RevisionData.model_validate(data),
            role=RevisionRole.RETIRED,
            proven=proven,
            number=record["number"],
            raw=data,
            lost=True,
        )


def _was_complete(deployment: Manifest) -> bool:
    """Return whether all Pods of a Deployment have been available once."""
    return any(
        condition["type"] == "Progressing" and condition.get("reason") == "NewReplicaSetAvailable"
        for condition in deployment.get("status", {}).get("conditions", ())
    )


def _document(children: Iterable[Manifest]) -> EndpointConfig | None:
    """Return what the routers are told; None where it is gone, or cannot be read."""
    for child in children:
        if child["kind"] == "ConfigMap" and CONFIG_KEY in child.get("data", {}):
            try:
                return EndpointConfig.model_validate_json(child["data"][CONFIG_KEY])
            except ValidationError:
                return None
    return None


def _as_stored(value: Any) -> Any:
    """Return a value in the one form that it has before and after the API server had it."""
    if isinstance(value, Mapping):
        return {name: _as_stored(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_as_stored(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
