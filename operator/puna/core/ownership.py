"""Ownership: what is ours of a live object, and whether it is as we want it.

Server-side apply records in `managedFields` which leaves each manager set. So "is there anything to
apply?" needs no memory: compare the wanted leaves with the live ones, and those we own with those
we want.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, TypeAlias

from puna.core.naming import FIELD_MANAGER
from puna.core.plan import Manifest
from puna.core.quantities import amount

FieldSet: TypeAlias = dict[str, Any]
"""One level of `fieldsV1`: `f:<member>`, `k:<merge key>`, `v:<set item>`; empty: a leaf."""

_IDENTITY: Final = frozenset({"apiVersion", "kind"})
_METADATA_IDENTITY: Final = frozenset({"name", "namespace"})
_AMOUNTS: Final = frozenset({"requests", "limits"})
"""Members of `spec` whose own members are quantities."""
_AMOUNT: Final = frozenset({"sizeLimit", "divisor"})
"""Members of `spec` that are quantities."""
_DEFAULTS: Final[dict[str, Any]] = {
    "protocol": "TCP",
    "apiVersion": "v1",
    "expirationSeconds": 3600,
    "defaultMode": 420,
    "optional": False,
}
"""Values that the API server adds inside what it treats as one leaf, and to merge keys."""


def owned(manifest: Manifest, owner_reference: Manifest | None) -> Manifest:
    """Return a manifest with its controller set, unless it names its owners itself."""
    metadata = manifest["metadata"]
    if owner_reference is None or "ownerReferences" in metadata:
        return manifest
    return manifest | {"metadata": metadata | {"ownerReferences": [owner_reference]}}


def is_controlled_by(live: Manifest, uid: str) -> bool:
    """Return whether the owner with this uid decides about an object."""
    return any(
        owner["uid"] == uid and owner.get("controller")
        for owner in live["metadata"].get("ownerReferences", ())
    )


def field_set(live: Manifest, api_version: str) -> FieldSet | None:
    """Return the leaves of a live object that we have applied in this API version, if any."""
    for entry in live["metadata"].get("managedFields", ()):
        if is_ours(entry) and entry["apiVersion"] == api_version:
            fields: FieldSet = entry["fieldsV1"]
            return fields
    return None


def applied_part(live: Manifest) -> Manifest:
    """Return of a live object what we have applied of it, with the values that it has now.

    To apply that again changes nothing: so an object that may not change is wanted as it is.
    """
    metadata = live["metadata"]
    part: Manifest = {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
    }
    owned_fields = field_set(live, live["apiVersion"])
    if owned_fields is None:
        return part
    found: Manifest = _extract(live, owned_fields)
    return found | part | {"metadata": found.get("metadata", {}) | part["metadata"]}


def _extract(live: Any, fields: FieldSet) -> Any:
    """Return the leaves of a value that a field set names; all of it if it names none below."""
    below = {path: sub for path, sub in fields.items() if path != "."}
    if not below:
        return live if not fields or not isinstance(live, dict | list) else type(live)()
    if isinstance(live, dict):
        return {
            path[2:]: _extract(live[path[2:]], sub)
            for path, sub in below.items()
            if path[2:] in live
        }
    items = _Items(live)
    found = [
        (_parsed(path), sub) if path[:2] == "v:" else (items.get(_parsed(path)), sub)
        for path, sub in below.items()
    ]
    # In the order that they have: field sets are sorted, and some lists may not be.
    places = {id(item): place for place, item in enumerate(live)}
    kept = [(item, sub) for item, sub in found if item is not None and item in live]
    kept.sort(key=lambda pair: places.get(id(pair[0]), len(places)))
    return [_extract(item, sub) for item, sub in kept]


def is_ours(entry: Manifest) -> bool:
    """Return whether an entry of `managedFields` stands for what we applied (its status apart)."""
    return (
        entry.get("manager") == FIELD_MANAGER
        and entry.get("operation") == "Apply"
        and not entry.get("subresource")
    )


def differs(desired: Manifest, live: Manifest) -> bool:
    """Return whether an apply would change the live object or what we own of it.

    True iff a wanted leaf has another value or is not ours, or we own a leaf that is not wanted.
    """
    fields = field_set(live, desired["apiVersion"])
    if fields is None:
        return True
    wanted = {name: value for name, value in desired.items() if name not in _IDENTITY}
    wanted["metadata"] = {
        name: value for name, value in desired["metadata"].items() if name not in _METADATA_IDENTITY
    }
    if not wanted["metadata"]:
        del wanted["metadata"]
    return _members_differ(wanted, live, fields, in_spec=False, amounts=False)


def is_note(desired: Manifest, live: Manifest) -> bool:
    """Return whether an apply would change nothing of the live object but its metadata."""
    return not differs(desired | {"metadata": applied_part(live)["metadata"]}, live)


def _members_differ(
    desired: Manifest, live: Manifest, fields: FieldSet, *, in_spec: bool, amounts: bool
) -> bool:
    """Compare the members of a map that is merged member by member."""
    for name in fields:
        if name != "." and (name[:2] != "f:" or name[2:] not in desired):
            return True
    for name, value in desired.items():
        path = f"f:{name}"
        below_spec = in_spec or name == "spec"
        if path not in fields:
            if _is_empty(value) and name not in live:
                continue
            return True
        if _differ(
            value,
            live.get(name),
            fields[path],
            in_spec=below_spec,
            amount_here=amounts or (in_spec and name in _AMOUNT),
            amounts_below=in_spec and name in _AMOUNTS,
        ):
            return True
    return False


def _differ(
    desired: Any,
    live: Any,
    fields: FieldSet,
    *,
    in_spec: bool,
    amount_here: bool = False,
    amounts_below: bool = False,
) -> bool:
    if live is None and _is_empty(desired):
        return False
    if not fields:
        return not _same(desired, live, amounts=amount_here or amounts_below)
    if isinstance(desired, dict):
        return not isinstance(live, dict) or _members_differ(
            desired, live, fields, in_spec=in_spec, amounts=amounts_below
        )
    if isinstance(desired, list):
        return not isinstance(live, list) or _items_differ(desired, live, fields, in_spec=in_spec)
    return set(fields) != {"."} or not _same(desired, live, amounts=amount_here)


def _items_differ(desired: list[Any], live: list[Any], fields: FieldSet, *, in_spec: bool) -> bool:
    """Compare the items of a list that is merged by key, or of a set."""
    paths = [path for path in fields if path != "."]
    if len(paths) != len(desired):
        return True
    wanted, found = _Items(desired), _Items(live)
    for path in paths:
        key = _parsed(path)
        if path[:2] == "v:":
            if key not in desired or key not in live:
                return True
            continue
        pair = wanted.get(key), found.get(key)
        if None in pair or _differ(*pair, fields[path], in_spec=in_spec):
            return True
    return False


@lru_cache(maxsize=1024)
def _parsed(path: str) -> Any:
    """Return what a set item or a merge key stands for; the same few recur in every object."""
    return json.loads(path[2:])


class _Items:
    """Items of a list by merge key: what a namespace shares has hundreds of owners."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items
        self._by_key: dict[tuple[str, ...], dict[tuple[Any, ...], Manifest]] = {}

    def get(self, key: Manifest) -> Manifest | None:
        """Return the first item with a key; a member that the server would add counts as there."""
        names = tuple(key)
        if names not in self._by_key:
            self._by_key[names] = {
                tuple([item.get(name, _DEFAULTS.get(name)) for name in names]): item
                for item in reversed(self._items)
                if isinstance(item, dict)
            }
        return self._by_key[names].get(tuple(key.values()))


def _same(desired: Any, live: Any, *, amounts: bool) -> bool:
    """Compare two values of one leaf, which may be whole lists or maps that are replaced as one."""
    if type(desired) is type(live) and desired == live:
        return True
    if isinstance(desired, dict):
        return (
            isinstance(live, dict)
            and all(
                (name in live and _same(value, live[name], amounts=amounts))
                or (name not in live and _is_empty(value))
                for name, value in desired.items()
            )
            and all(
                name in desired or _DEFAULTS.get(name, _MISSING) == value
                for name, value in live.items()
            )
        )
    if isinstance(desired, list):
        return (
            isinstance(live, list)
            and len(desired) == len(live)
            and all(_same(*pair, amounts=amounts) for pair in zip(desired, live, strict=True))
        )
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if amounts:
        wanted = amount(desired)
        return wanted is not None and wanted == amount(live)
    return bool(desired == live)


_MISSING: Final = object()


def _is_empty(value: Any) -> bool:
    """Return whether the API server leaves a value out of what it stores."""
    return value is None or value is False or value in ("", 0) or value in ({}, [])
