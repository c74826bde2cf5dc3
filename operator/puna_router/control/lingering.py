"""Documents that have just gone: a ConfigMap deleted by mistake is back before users notice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

LINGER_SECONDS: Final = 2.0
"""Time for which an endpoint is served without a document. The operator restores a deleted
ConfigMap within a fraction of it; an endpoint that is really deleted has no Pods left to serve."""


def missed_since(
    before: Iterable[str], present: Iterable[str], missed: Mapping[str, float], now: float
) -> dict[str, float]:
    """When each of the endpoints served `before` that has no document now was first missed.

    Those missed for longer than `LINGER_SECONDS` are left out: they are gone.
    """
    here = set(present)
    since = {name: missed.get(name, now) for name in before if name not in here}
    return {name: at for name, at in since.items() if now - at < LINGER_SECONDS}
