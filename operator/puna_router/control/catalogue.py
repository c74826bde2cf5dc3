"""What a router serves, by name: model lists, and the table that `lua/select.lua` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from puna_router.config import EndpointConfig, Strategy
from puna_router.control.world import Resource

LISTED: Final = 40
"""Names that an error message shows at most."""


def model_names(config: EndpointConfig) -> tuple[str, ...]:
    """Names that clients may ask for: the endpoint, and the endpoint with each preset."""
    return (config.name, *(f"{config.name}:{preset}" for preset in sorted(config.presets)))


def public_names(config: EndpointConfig) -> tuple[str, ...]:
    """Names that everybody may see: of an endpoint that requires a key its own alone."""
    return (config.name,) if config.access else model_names(config)


def model_list(configs: Iterable[EndpointConfig]) -> str:
    """Answer of `GET /v1/models` to those without a key."""
    cards = [
        _card(config, name, known=config.access is None)
        for config in configs
        for name in public_names(config)
    ]
    return _text({"object": "list", "data": cards})


def endpoint_list(configs: Iterable[EndpointConfig]) -> str:
    """Answer of `GET /llm/models` to those without a key."""
    models = [_line(config.name, () if config.access else config.presets) for config in configs]
    return _text({"models": models})


def lookup_table(configs: Iterable[EndpointConfig], namespace: str | None) -> dict[str, str]:
    """Table of the selecting filter: one key per question it asks."""
    known = list(configs)
    names = [name for config in known for name in public_names(config)]
    table = {"names": _enumerate(names)}
    if namespace is not None:
        table["namespace"] = namespace
    if len(known) == 1:
        table["only"] = known[0].name
    for config in known:
        table[f"presets/{config.name}"] = _enumerate(sorted(config.presets))
        if config.strategy is Strategy.PREFIX_AFFINITY:
            table[f"affine/{config.name}"] = ""
        for name in model_names(config):
            table[f"card/{name}"] = _text(_card(config, name, known=config.access is None))
    if any(config.access for config in known):
        table |= _lists(known)
    return table


def _lists(known: list[EndpointConfig]) -> dict[str, str]:
    """What the lists for the holder of a key are put together from."""
    pieces = {"head/v1/models": '{"object":"list","data":[', "head/llm/models": '{"models":['}
    for config in known:
        name = config.name
        cards = (_text(_card(config, model)) for model in model_names(config))
        pieces[f"full/v1/models/{name}"] = ",".join(cards)
        pieces[f"bare/v1/models/{name}"] = _text(_card(config, name, known=False))
        pieces[f"full/llm/models/{name}"] = _text(_line(name, config.presets))
        pieces[f"bare/llm/models/{name}"] = _text(_line(name, ()))
    return {"endpoints": " ".join(config.name for config in known), **pieces}


def _line(name: str, presets: Iterable[str]) -> Resource:
    return {"name": name, "presets": sorted(presets)}


def _text(content: Resource) -> str:
    return json.dumps(content, separators=(",", ":"))


def _card(config: EndpointConfig, model: str, *, known: bool = True) -> Resource:
    """What is told of a model; where it comes from only to those who may know, and once."""
    card = {"id": model, "object": "model", "created": config.created, "owned_by": "puna"}
    lineage = [
        {"revision": item.name} | item.lineage.model_dump(by_alias=True, exclude_none=True)
        for item in config.revisions
        if item.lineage is not None and known and model == config.name
    ]
    return card | {"lineage": lineage} if lineage else card


def _enumerate(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED])
    if len(names) > LISTED:
        return f"{shown} and {len(names) - LISTED} more"
    return shown or "none"
