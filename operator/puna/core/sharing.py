"""Sharing: equal parts of `managedFields` are held in memory once.

The leaves that we own of one endpoint's Deployment are those of every other's, by the kilobyte.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from puna.core.ownership import FieldSet
from puna.core.plan import Manifest

REMEMBERED: Final = 8
"""Different field sets remembered of each member of each kind."""


class FieldSetPool:
    """Field sets seen before, by kind and member."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], deque[FieldSet]] = {}

    def share(self, manifest: Manifest) -> None:
        """Put known field sets in the place of equal ones, in a trimmed object."""
        for entry in manifest["metadata"].get("managedFields", ()):
            fields = entry["fieldsV1"]
            for name, below in fields.items():
                if name == "f:metadata":  # its owner references differ from object to object
                    for member, part in below.items():
                        below[member] = self._known_as(manifest["kind"], member, part)
                else:
                    fields[name] = self._known_as(manifest["kind"], name, below)

    def _known_as(self, kind: str, name: str, fields: FieldSet) -> FieldSet:
        known = self._known.setdefault((kind, name), deque(maxlen=REMEMBERED))
        for candidate in known:
            if candidate == fields:
                return candidate
        known.append(fields)
        return fields
