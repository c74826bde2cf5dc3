"""Secrets that documents name, as values: what they hold, or why they hold nothing."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from puna_router.config import EndpointConfig


@dataclass(frozen=True, slots=True)
class Secret:
    """One Secret as it is now."""

    name: str
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    problem: str | None = None
    """Why it cannot be used."""


def from_manifest(manifest: Mapping[str, Any]) -> Secret:
    """Return what a Secret of the API server holds."""
    data = manifest.get("data") or {}
    return Secret(
        manifest["metadata"]["name"],
        {member: b64decode(text) for member, text in sorted(data.items())},
    )


def secret_names(configs: Iterable[EndpointConfig]) -> frozenset[str]:
    """Secrets that documents name."""
    names: set[str | None] = set()
    for config in configs:
        names.add(config.access.secret if config.access else None)
        for external in config.external:
            names |= {external.api_key_secret, external.ca_secret}
    return frozenset(name for name in names if name is not None)
