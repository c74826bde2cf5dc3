"""Modules of the router's Lua in an Envoy of their own, with a few lines that call them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import httpx

from puna_router.control.binary import find_envoy
from tests.ports import free_port
from tests.router.program import eventually

CALL = """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  handle:respond({{ [":status"] = "200" }}, {expression})
end
"""

_TYPES = "type.googleapis.com/envoy.extensions.filters"


def source(*modules: str) -> str:
    folder = resources.files("puna_router") / "lua"
    return "\n".join((folder / f"{module}.lua").read_text("utf-8") for module in modules)


class LuaProgram:
    """An Envoy that answers every request with what a script makes of it."""

    def __init__(self, folder: Path, script: str) -> None:
        port = free_port()
        path = folder / "lua.json"
        path.write_text(json.dumps(_configuration(port, script)))
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        with (folder / "lua.log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    *(find_envoy(), "--config-path", str(path), "--concurrency", "1"),
                    *("--disable-hot-restart", "--log-level", "error"),
                ],
                stdout=log,
                stderr=log,
            )
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            return self.client.get("/").status_code > 0
        except httpx.TransportError:
            return False

    def close(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait(10)


@contextmanager
def lua_function(folder: Path, modules: tuple[str, ...], expression: str) -> Iterator[httpx.Client]:
    """An Envoy that answers each request with an expression over its body, `text`."""
    program = LuaProgram(folder, source(*modules) + CALL.format(expression=expression))
    try:
        yield program.client
    finally:
        program.close()


def _configuration(port: int, script: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 500}}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "lua",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            {
                "name": "lua",
                "typed_config": {
                    "@type": f"{_TYPES}.http.lua.v3.Lua",
                    "default_source_code": {"inline_string": script},
                },
            },
            {
                "name": "router",
                "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"},
            },
        ],
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "lua",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "per_connection_buffer_limit_bytes": 1 << 25,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ]
        }
    }
