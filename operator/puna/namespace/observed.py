"""What one plan of a namespace's router may see."""

from __future__ import annotations

from dataclasses import dataclass

from puna.api.llmendpoint import LLMEndpoint
from puna.core.plan import Manifest, ObjectKey


@dataclass(frozen=True, slots=True)
class RouterNamespace:
    """A namespace with at least one LLMEndpoint that is not being deleted: what has a router."""

    namespace: str
    endpoints: tuple[LLMEndpoint, ...]
    """Its endpoints without those being deleted, sorted by uid; never empty."""


@dataclass(frozen=True, slots=True)
class ObservedNamespace:
    """Facts, read before a plan is made."""

    children: tuple[Manifest, ...] = ()
    """The anchor ConfigMap if it is there, and every live object that it owns, the Secret too."""
    backend_key: Manifest | None = None
    """The Secret with the backend key, if the anchor owns it; also among `children`."""
    foreign: frozenset[ObjectKey] = frozenset()
    """Objects with a wanted child's name that somebody else owns."""
    fresh_key: str = ""
    """256 random bits in base64url, new for every pass: the key of a namespace that has none."""
    rejected: str | None = None
    """The API server's words, if it refused a child in this pass."""
