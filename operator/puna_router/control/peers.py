"""The routers of a namespace, which share the slots of its servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from puna_router.control.backends import address


@dataclass(frozen=True, slots=True)
class Peers:
    """How a router finds its like, and itself among them."""

    name: str
    """Name of its own Pod."""
    selector: str
    """Labels of all router Pods."""


def place(pods: Iterable[Mapping[str, Any]], name: str) -> tuple[int, int]:
    """How many routers take requests, and which of them `name` is, from 0.

    This one counts even while nobody else has seen that it is ready: it may be asked already.
    """
    ready = {pod["metadata"]["name"] for pod in pods if address(pod) is not None}
    names = sorted(ready | {name})
    return len(names), names.index(name)
