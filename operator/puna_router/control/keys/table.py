"""The table of keys that `lua/access.lua` reads: one entry per endpoint and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from puna_router.config import AccessConfig, ApiKey, EndpointConfig
from puna_router.control.keys.rate import opens, rate_of
from puna_router.control.keys.ring import KeyRing

KEYED: Final = "keyed/"
"""What the entry of an endpoint that requires a key begins with."""


def access_table(
    configs: Iterable[EndpointConfig], rings: Mapping[str, KeyRing], routers: int
) -> dict[str, str]:
    """Entries of all endpoints that require a key; those of one whose ring is unknown are closed.

    What a client may read of it says nothing about Secrets.
    """
    table: dict[str, str] = {}
    for config in configs:
        access = config.access
        if access is None:
            continue
        table[f"{KEYED}{config.name}"] = "true"
        ring = rings.get(access.secret)
        if ring is None or ring.closed is not None:
            table[f"closed/{config.name}"] = f"the API keys of {config.name} cannot be read"
            continue
        for name, key in ring.keys.items():
            table[f"key/{config.name}/{key.sha256}"] = (
                _entry(name, key, access, routers) if opens(key, config.name) else ""
            )
    return table


def _entry(name: str, key: ApiKey, access: AccessConfig, routers: int) -> str:
    rate = rate_of(access, key)
    ends = int(key.expires_at.timestamp()) if key.expires_at else 0
    return f"{name} {ends} {rate.share(routers).pace} {rate.requests_per_minute}"
