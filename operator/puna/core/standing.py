"""Standing: whose an object is that has the name of a wanted child."""

from __future__ import annotations

from enum import Enum

from puna.core.ownership import field_set, is_ours
from puna.core.plan import Manifest


class Standing(Enum):
    """What an existing object is to the resource that wants a child of its name."""

    OURS = "ours"
    """It names one of our owners; or, where owners come and go (the anchor) or are not wanted (what
    outlives its resource), we applied it."""
    ORPHANED = "orphaned"
    """Its owner had the name of ours but is no more: the garbage collector will remove it."""
    FOREIGN = "foreign"
    """Somebody else's."""


def standing(wanted: Manifest, live: Manifest) -> Standing:
    """Say whose the live object is."""
    owners = wanted["metadata"].get("ownerReferences", ())
    held_by = live["metadata"].get("ownerReferences", ())
    if {owner["uid"] for owner in owners} & {owner["uid"] for owner in held_by}:
        return Standing.OURS
    if not owners or any(not owner.get("controller") for owner in owners):
        applied = field_set(live, wanted["apiVersion"]) is not None
        return Standing.OURS if applied else Standing.FOREIGN
    names = {(owner["kind"], owner["name"]) for owner in owners}
    if any((owner["kind"], owner["name"]) in names for owner in held_by):
        return Standing.ORPHANED
    return Standing.FOREIGN


def taken_over(live: Manifest) -> str | None:
    """Return whose object the answer to a first apply shows, if it was not made by that apply.

    A manager that was there before us made it, and our fields were merged into its own.
    """
    entries = live["metadata"].get("managedFields", ())
    ours = max((entry.get("time", "") for entry in entries if is_ours(entry)), default="")
    others = (
        entry
        for entry in entries
        if not is_ours(entry) and not entry.get("subresource") and entry.get("time", "") <= ours
    )
    return next((str(entry["manager"]) for entry in others), None)
