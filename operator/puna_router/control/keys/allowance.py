"""Allowances of keys: how many requests at once, and how many tokens a minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from puna_router.config import EndpointConfig
from puna_router.control.keys.rate import opens
from puna_router.control.keys.ring import KeyRing
from puna_router.picker.config import PickerKey


def picker_keys(
    config: EndpointConfig,
    rings: Mapping[str, KeyRing],
    exhausted: Mapping[tuple[str, str], int],
) -> dict[str, PickerKey]:
    """Limits of the keys that open an endpoint, by name."""
    return {
        name: PickerKey(key.max_concurrency, exhausted.get((config.name, name)))
        for name, key in _ring(config, rings).keys.items()
        if opens(key, config.name)
    }


def token_limits(
    configs: Iterable[EndpointConfig], rings: Mapping[str, KeyRing], routers: int
) -> dict[tuple[str, str], int]:
    """Tokens per minute by endpoint and key, with the share of one of several routers."""
    return {
        (config.name, name): max(1, key.tokens_per_minute // routers)
        for config in configs
        for name, key in _ring(config, rings).keys.items()
        if key.tokens_per_minute is not None and opens(key, config.name)
    }


def _ring(config: EndpointConfig, rings: Mapping[str, KeyRing]) -> KeyRing:
    return (rings.get(config.access.secret) if config.access else None) or KeyRing()
