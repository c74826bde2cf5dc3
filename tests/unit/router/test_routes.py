from __future__ import annotations

import re
from typing import Any

import pytest

from puna_router.config import EndpointConfig, PresetConfig, RevisionConfig
from puna_router.control.filters import SPLICE_FILTER, TIMINGS_FILTER, USAGE_FILTER
from puna_router.control.routes import endpoint_hosts, route_configuration
from puna_router.control.select_filter import SELECT_FILTER
from puna_router.control.world import Served, World


def revision(name: str, **defaults: Any) -> RevisionConfig:
    return RevisionConfig(
        name=name * 8, process="c" * 8, weight=50, preset=PresetConfig(defaults=defaults)
    )


def host(*revisions: RevisionConfig) -> dict[str, Any]:
    """The virtual host of an endpoint's own name."""
    config = EndpointConfig(name="chat", port=20000, created=0, revisions=revisions)
    return endpoint_hosts(Served(config), World())[0]


def spliced_by_selecting(found: dict[str, Any]) -> list[bool]:
    """Of each route to servers, whether the selecting filter splices for it."""
    routes = (route for route in found["routes"] if route["name"] != "chat status")
    return [SELECT_FILTER in route["metadata"]["filter_metadata"] for route in routes]


def test_a_preset_that_all_revisions_have_is_spliced_by_the_selecting_filter_alone() -> None:
    found = host(revision("a", top_k=1), revision("b", top_k=1))
    assert all(spliced_by_selecting(found))
    assert found["typed_per_filter_config"][SPLICE_FILTER]["disabled"]


def test_presets_that_differ_are_spliced_by_the_revision_alone() -> None:
    found = host(revision("a", top_k=1), revision("b", top_k=2))
    assert not any(spliced_by_selecting(found))
    assert "filter_context" in found["typed_per_filter_config"][SPLICE_FILTER]


@pytest.mark.parametrize(
    ("path", "counting"),
    [
        ("/v1/chat/completions", {TIMINGS_FILTER}),
        ("/llm/generate/stream", {TIMINGS_FILTER}),
        ("/endpoints/chat/v1/messages", {USAGE_FILTER}),
        ("/v1/responses", {USAGE_FILTER}),
        ("/v1/embeddings", set()),
        ("/props", set()),
    ],
)
def test_a_stream_is_searched_for_token_counts_once_and_only_where_some_can_be(
    path: str, counting: set[str]
) -> None:
    own = route_configuration(World())["virtual_hosts"][-1]
    first = next(route for route in own["routes"] if matches(route["match"], path))
    off = set(first.get("typed_per_filter_config", {}))
    assert {TIMINGS_FILTER, USAGE_FILTER} - off == counting


def matches(match: dict[str, Any], path: str) -> bool:
    """Whether Envoy takes a path for such a match."""
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    return path == match["path"] if "path" in match else path.startswith(match["prefix"])
