"""Orders: what people say of a canary, as annotations of its LLMEndpoint.

The value is the revision that is meant, `<rev8>`, optionally with `/` and anything behind it that
makes it another order than the one before. The operator never writes these annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from puna.core.naming import ANNOTATION_ABORT, ANNOTATION_PROMOTE


@dataclass(frozen=True, slots=True)
class Orders:
    """Values of the annotations, as far as they are there."""

    promote: str | None = None
    abort: str | None = None

    def of(self, revision: str) -> Orders:
        """Return those that mean a revision."""
        return Orders(*(self._naming(value, revision) for value in (self.promote, self.abort)))

    def without(self, old: Orders) -> Orders:
        """Return those that are not among old ones."""
        return Orders(
            promote=None if self.promote == old.promote else self.promote,
            abort=None if self.abort == old.abort else self.abort,
        )

    def within(self, present: Orders) -> Orders:
        """Return those that are still there."""
        return self.without(self.without(present))

    def annotations(self) -> dict[str, str]:
        """Return them as annotations."""
        values = {ANNOTATION_PROMOTE: self.promote, ANNOTATION_ABORT: self.abort}
        return {name: value for name, value in values.items() if value is not None}

    @staticmethod
    def _naming(value: str | None, revision: str) -> str | None:
        return value if value is not None and value.partition("/")[0] == revision else None


def read_orders(annotations: Mapping[str, str]) -> Orders:
    """Return the orders among annotations."""
    return Orders(
        promote=annotations.get(ANNOTATION_PROMOTE), abort=annotations.get(ANNOTATION_ABORT)
    )
