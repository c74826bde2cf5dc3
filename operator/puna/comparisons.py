"""Comparisons: whether an apply would change an object, remembered while both stay as they are.

One pass asks three times about the same child: before it is applied, after that, and when what was
made is looked at again; the next pass asks once more.
"""

from __future__ import annotations

import orjson

from puna.core.ownership import differs
from puna.core.plan import Manifest, ObjectKey, key_of
from puna.store import version_of


class Comparisons:
    """The last answer about each child."""

    def __init__(self) -> None:
        self._answers: dict[ObjectKey, tuple[int, int, bool]] = {}

    def differs(self, wanted: Manifest, live: Manifest) -> bool:
        """Return whether an apply would change the live object or what we own of it."""
        child, meant, version = key_of(wanted), hash(orjson.dumps(wanted)), version_of(live)
        known = self._answers.get(child)
        if known is None or known[:2] != (meant, version):
            known = self._answers[child] = (meant, version, differs(wanted, live))
        return known[2]

    def forget(self, child: ObjectKey) -> None:
        """Let go of what is said of a child that is no more."""
        self._answers.pop(child, None)
