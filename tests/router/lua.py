"""One Lua function of the router, called inside the real Envoy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from puna_router.control.binary import find_envoy
from tests.router.program import eventually, free_port

LUA = Path(__file__).parents[2] / "operator" / "puna_router" / "lua"
TYPES = "type.googleapis.com/envoy"
CALL = """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  handle:respond({{ [":status"] = "200" }}, {expression})
end
"""


@contextmanager
def lua_function(folder: Path, modules: tuple[str, ...], expression: str) -> Iterator[httpx.Client]:
    """An Envoy that answers each POST with an expression over its body, `text`."""
    source = "\n".join((LUA / f"{module}.lua").read_text() for module in modules)
    lua = {
        "@type": f"{TYPES}.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": source + CALL.format(expression=expression)},
    }
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager"
        ".v3.HttpConnectionManager",
        "stat_prefix": "lua",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
        "http_filters": [
            {"name": "lua", "typed_config": lua},
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
            },
        ],
    }
    port = free_port()
    listener = {
        "name": "lua",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    path = folder / "lua.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    process = subprocess.Popen(
        [find_envoy(), "-c", str(path), "-l", "error", "--concurrency", "1", *_alone()],
        stderr=subprocess.DEVNULL,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False)
    try:
        eventually(lambda: _answers(client))
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def _alone() -> tuple[str, ...]:
    return ("--use-dynamic-base-id", "--disable-hot-restart")


def _answers(client: httpx.Client) -> Any:
    try:
        return client.post("/", content=b"").is_success
    except httpx.TransportError:
        return False
