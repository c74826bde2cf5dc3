"""Orders: what people say of a rollout, as annotations of its LLMEndpoint.

The value names the revision that is meant, `<rev8>`, and behind a `/` anything that makes it
another order than the one before. An order to roll back names two, `<to>/<from>`: the revision that
is to serve, and the one that the spec means. The operator never writes these annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from puna.core.naming import (
    ANNOTATION_ABORT,
    ANNOTATION_PROMOTE,
    ANNOTATION_RETRY,
    ANNOTATION_ROLLBACK,
)

ANNOTATIONS: Final = {
    "promote": ANNOTATION_PROMOTE,
    "abort": ANNOTATION_ABORT,
    "retry": ANNOTATION_RETRY,
    "rollback": ANNOTATION_ROLLBACK,
}


@dataclass(frozen=True, slots=True)
class Orders:
    """Values of the annotations, as far as they are there."""

    promote: str | None = None
    abort: str | None = None
    retry: str | None = None
    rollback: str | None = None

    def of(self, revision: str) -> Orders:
        """Return those that mean a revision; an order to roll back means the one it goes from."""
        return Orders(
            **{
                name: value
                for name, value in self._given().items()
                if _meant(name, value) == revision
            }
        )

    def without(self, old: Orders) -> Orders:
        """Return those that are not among old ones."""
        before = asdict(old)
        given = self._given()
        return Orders(**{name: value for name, value in given.items() if value != before[name]})

    def within(self, present: Orders) -> Orders:
        """Return those that are still there."""
        return self.without(self.without(present))

    def rollbacks(self) -> Orders:
        """Return the order to roll back alone."""
        return Orders(rollback=self.rollback)

    def annotations(self) -> dict[str, str]:
        """Return them as annotations."""
        return {ANNOTATIONS[name]: value for name, value in self._given().items()}

    def _given(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_orders(annotations: Mapping[str, str]) -> Orders:
    """Return the orders among annotations."""
    return Orders(**{name: annotations.get(key) for name, key in ANNOTATIONS.items()})


def _meant(name: str, value: str) -> str | None:
    first, *others = value.split("/", 2)
    if name == "rollback":
        return others[0] if others else None
    return first
