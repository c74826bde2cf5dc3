"""Texts that `lua/splice.lua` puts into request bodies, as the filter context of one revision."""

from __future__ import annotations

import json
from typing import Any, Final

from puna_router.config import PresetConfig
from puna_router.control.world import Resource

LIMITS: Final = ("n_predict", "max_tokens", "max_completion_tokens", "max_output_tokens")
"""Names of one and the same setting. The first that is present wins in llama-server, whatever its
place, so a default may stand only where the client names none, and a forced one takes all."""


def filter_context(preset: PresetConfig, keep_alive_seconds: int, copied: int = 0) -> Resource:
    """What the splice filter needs to know of one preset, and percent of requests that are copied.

    Raises:
        ValueError: A value has no JSON form, such as infinity.
    """
    limits: dict[str, Any] = {
        name: preset.defaults[name] for name in LIMITS if name in preset.defaults
    }
    defaults = {name: value for name, value in preset.defaults.items() if name not in limits}
    context = {
        "keep_alive": members({"sse_ping_interval": keep_alive_seconds}),
        "defaults": members(defaults),
        "limit": members(limits),
        "forced": members(_forced(preset.forced)),
        "copied": str(copied) if copied else "",
        "system": "" if preset.system_prompt is None else _text(preset.system_prompt),
    }
    return {key: value for key, value in context.items() if value}


def members(values: dict[str, Any]) -> str:
    """Members of an object without its braces, in the order given."""
    return ",".join(f"{_text(name)}:{_text(value)}" for name, value in values.items())


def _forced(values: dict[str, Any]) -> dict[str, Any]:
    limit = next((values[name] for name in LIMITS if name in values), None)
    if limit is None:
        return values
    return {**values, **dict.fromkeys(LIMITS, limit)}


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
