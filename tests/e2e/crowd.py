"""Many parallel streams to two endpoints with two presets each: for a test and for a benchmark."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from tests.e2e.stage import Stage
from tests.e2e.traffic import Load, Outcome, failures, steady

NAMES = ("one", "two")
FORCED: dict[str, dict[str, Any]] = {
    "cold": {"temperature": 0.25, "topK": 7},
    "warm": {"temperature": 1.25, "topK": 31},
}
REPLICAS = 2
SLOTS = 10
PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """What became of the streams."""

    outcomes: tuple[Outcome, ...]
    failed: tuple[str, ...]
    settings: dict[str, set[tuple[float, int]]]
    """Temperature and top-k that servers worked with, by model name."""
    at_once: int
    """Most streams seen under way together."""

    @property
    def events(self) -> int:
        """Events of all streams."""
        return sum(item.events for item in self.outcomes)


def prepare(stage: Stage) -> None:
    """Two endpoints; each lists both forced presets."""
    presets = [stage.preset(name, forced=True, **values) for name, values in FORCED.items()]
    server = {"slots": SLOTS, "contextLength": 512}
    stage.apply(stage.preset("crowd", server=server), *presets)
    for name in NAMES:
        stage.apply(stage.endpoint(name, preset="crowd", presets=list(FORCED), replicas=REPLICAS))
    stage.wait_ready(*NAMES)


def stream(stage: Stage, *, streams: int, seconds: float, tokens: int = 100) -> Crowd:
    """Keep so many streams under way for a time, asking servers meanwhile what they work with."""
    models = [f"{name}:{preset}" for name in NAMES for preset in FORCED]
    # Values of the client's own, which a forced preset overrides.
    own = {"temperature": 0.9, "top_k": 3}
    loads = [
        Load(stage.url, model, streams=streams // len(models), stream_tokens=tokens, body=own)
        for model in models
    ]
    settings: dict[str, set[tuple[float, int]]] = {model: set() for model in models}
    at_once = 0
    with ExitStack() as stack:
        crowds = [stack.enter_context(steady(load)) for load in loads]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(PROBE_SECONDS)
            at_once = max(at_once, sum(len(crowd.under_way()) for crowd in crowds))
            for model in models:
                settings[model].add(_settings(stage, model, own))
    outcomes = tuple(item for crowd in crowds for item in crowd.outcomes)
    return Crowd(outcomes, tuple(failures(list(outcomes))), settings, at_once)


def _settings(stage: Stage, model: str, own: dict[str, Any]) -> tuple[float, int]:
    """What a server says it worked with, among all the others it works for."""
    name = model.partition(":")[0]
    body = {"model": model, "prompt": "hello", "max_tokens": 2, **own}
    url = f"{stage.url}/endpoints/{name}/completion"
    answer = httpx.post(url, json=body, timeout=60, trust_env=False).raise_for_status().json()
    settings = answer["generation_settings"]
    return round(settings["temperature"], 4), settings["top_k"]


def expected_settings() -> dict[str, set[tuple[float, int]]]:
    """What servers have to have worked with."""
    return {
        f"{name}:{preset}": {(values["temperature"], values["topK"])}
        for name in NAMES
        for preset, values in FORCED.items()
    }
