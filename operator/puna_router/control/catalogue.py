"""What a router serves, by name: model lists, and the table that `lua/select.lua` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from puna_router.config import EndpointConfig
from puna_router.control.world import Resource

LISTED: Final = 40
"""Names that an error message shows at most."""


def model_names(config: EndpointConfig) -> tuple[str, ...]:
    """Names that clients may ask for: the endpoint, and the endpoint with each preset."""
    return (config.name, *(f"{config.name}:{preset}" for preset in sorted(config.presets)))


def model_list(configs: Iterable[EndpointConfig]) -> str:
    """Answer of `GET /v1/models`."""
    cards = [_card(name, config.created) for config in configs for name in model_names(config)]
    return json.dumps({"object": "list", "data": cards}, separators=(",", ":"))


def endpoint_list(configs: Iterable[EndpointConfig]) -> str:
    """Answer of `GET /llm/models`."""
    models = [{"name": config.name, "presets": sorted(config.presets)} for config in configs]
    return json.dumps({"models": models}, separators=(",", ":"))


def lookup_table(configs: Iterable[EndpointConfig], namespace: str | None) -> Resource:
    """Route metadata for the selecting filter: one key per question it asks."""
    known = list(configs)
    names = [name for config in known for name in model_names(config)]
    table = {"names": _enumerate(names)}
    if namespace is not None:
        table["namespace"] = namespace
    if len(known) == 1:
        table["only"] = known[0].name
    for config in known:
        table[f"presets/{config.name}"] = _enumerate(sorted(config.presets))
        for name in model_names(config):
            table[f"card/{name}"] = json.dumps(_card(name, config.created), separators=(",", ":"))
    return table


def _card(name: str, created: int) -> Resource:
    return {"id": name, "object": "model", "created": created, "owned_by": "puna"}


def _enumerate(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED])
    if len(names) > LISTED:
        return f"{shown} and {len(names) - LISTED} more"
    return shown or "none"
