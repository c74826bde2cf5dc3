"""The filter that selects a request's virtual host: its script, with all that it looks up.

It has a file of its own, since another script means another Lua state for each of Envoy's threads:
that must not be so with every weight that changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from puna_router.control import catalogue
from puna_router.control.keys.table import KEYED, access_table
from puna_router.control.scripts import select_script
from puna_router.control.world import Resource, World

SELECT_FILTER: Final = "puna.select"


def looked_up(world: World, namespace: str | None) -> dict[str, str]:
    """What the filter knows: names, and keys."""
    configs = [served.config for served in world.endpoints]
    names = catalogue.lookup_table(configs, namespace)
    return names | access_table(configs, world.keys, world.routers)


def select_filter(table: Mapping[str, str]) -> Resource:
    """The filter with such a table."""
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": select_script(table)},
    }


def closes(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether a key is needed from now on for what was open.

    Then the filter has to know of it before the routes do: they let nobody pass who has not been
    looked at. In all other cases the routes come first: what is new has to have one.
    """
    return any(
        name.startswith(KEYED) and name not in before and f"card/{name[len(KEYED) :]}" in before
        for name in after
    )
