"""The picker as a process, and an Envoy that asks it: the filters that matter and no others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from puna_router.control.binary import find_envoy, serve_arguments
from puna_router.control.errors import METADATA, local_reply_config
from puna_router.picker.config import (
    CONFIG_FILE,
    MAX_MESSAGE_TIMEOUT,
    SOCKET,
    PickerConfig,
    PickerEndpoint,
    PickerHost,
    PickerQueue,
)
from puna_router.picker.messages import CLUSTER_HEADER
from puna_router.picker.state import EndpointState, PickerState
from tests.ports import free_port
from tests.router.program import eventually
from tests.router.stub import Stub

CLUSTER = "chat-a"
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def address(stub: Stub) -> str:
    return f"{stub.host}:{stub.port}"


def one_endpoint(
    stubs: list[Stub], slots: int = 1, *, depth: int = 32, timeout: float = 60, **more: Any
) -> PickerConfig:
    """A document with the endpoint `chat` on some servers."""
    given = {"clusters": (CLUSTER,), **more}
    hosts = tuple(PickerHost(address(stub), slots, given["clusters"]) for stub in stubs)
    return PickerConfig(
        {"chat": PickerEndpoint(hosts=hosts, queue=PickerQueue(depth, timeout), **given)}
    )


def rename(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.replace(path)


class PickerProgram:
    """One picker."""

    def __init__(self, folder: Path, document: PickerConfig | None, *arguments: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = arguments
        if document is not None:
            self.configure(document)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Run it, anew if it ran before."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "puna_router", "picker"),
                *("--directory", str(self.folder), "--listen", "127.0.0.1"),
                *("--port", str(self.port), *self._arguments),
            ]
        )
        eventually(self.serves, 20)
        return self.process

    def serves(self) -> bool:
        try:
            return httpx.get(f"{self.url}/live").status_code == 200
        except httpx.TransportError:
            return False

    def configure(self, document: PickerConfig) -> None:
        rename(self.folder / CONFIG_FILE, document.to_json())

    def whole_state(self) -> PickerState:
        return PickerState.from_json(httpx.get(f"{self.url}/state").content)

    def state(self, name: str = "chat") -> EndpointState:
        return self.whole_state().endpoints[name]

    def in_flight(self) -> int:
        return sum(host.in_flight for host in self.state().hosts.values())

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class EnvoyProgram:
    """One Envoy in front of clusters of stub servers."""

    def __init__(
        self, folder: Path, clusters: Mapping[str, list[Stub]], *, patience: float = 0.25
    ) -> None:
        """Run it; `patience` is how long it waits for the picker, in seconds."""
        self.folder = folder
        self._patience = f"{patience:g}s"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(json.dumps(self._bootstrap(clusters)))
        self.process = subprocess.Popen(serve_arguments(find_envoy(), bootstrap, 2))
        eventually(self.serves, 20)

    def serves(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def _bootstrap(self, clusters: Mapping[str, list[Stub]]) -> Any:
        return {
            "node": {"id": "test", "cluster": "test"},
            "static_resources": {
                "listeners": [self._listener()],
                "clusters": [
                    *(_backends(name, stubs) for name, stubs in clusters.items()),
                    self._picker(),
                ],
            },
        }

    def _listener(self) -> Any:
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network."
            "http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "ingress",
            "local_reply_config": local_reply_config(),
            "route_config": _routes(),
            "http_filters": [
                _hidden_session(),
                _ext_proc(self._patience),
                _stateful_session(),
                _router(),
            ],
        }
        chain = {
            "filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
            ]
        }
        place = {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}
        return {"name": "ingress", "address": place, "filter_chains": [chain]}

    def _picker(self) -> Any:
        place = {"pipe": {"path": str(self.folder / SOCKET)}}
        protocol = {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        unbounded = {"max_requests": 100_000, "max_pending_requests": 100_000}
        return {
            "name": "picker",
            "type": "STATIC",
            "connect_timeout": self._patience,
            "circuit_breakers": {"thresholds": [unbounded]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol
            },
            "load_assignment": _assignment("picker", [place]),
        }


_EXT_PROC = "envoy.filters.http.ext_proc"
_OFF = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def _routes() -> Any:
    off = {_EXT_PROC: {"@type": _OFF, "disabled": True}}
    elsewhere = {"prefix": "/", "headers": [{"name": CLUSTER_HEADER, "present_match": True}]}
    routes = [
        {
            "match": {"path": "/health"},
            "direct_response": {"status": 200},
            "typed_per_filter_config": off,
        },
        {"match": elsewhere, "route": {"cluster_header": CLUSTER_HEADER, "timeout": "0s"}},
        {"match": {"prefix": "/"}, "route": {"cluster": CLUSTER, "timeout": "0s"}},
    ]
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def _backends(name: str, stubs: list[Stub]) -> Any:
    places = [{"socket_address": {"address": stub.host, "port_value": stub.port}} for stub in stubs]
    protocol = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"max_requests_per_connection": 1},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {
            "thresholds": [dict.fromkeys(("max_connections", "max_requests"), 100_000)]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol
        },
        "load_assignment": _assignment(name, places),
    }


def _assignment(name: str, places: list[Any]) -> Any:
    hosts = [{"endpoint": {"address": place}} for place in places]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}] if hosts else []}


def _hidden_session() -> Any:
    return {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": f"{FILTERS}.header_mutation.v3.HeaderMutation",
            "mutations": {"response_mutations": [{"remove": "x-puna-session"}]},
        },
    }


def _ext_proc(patience: str) -> Any:
    return {
        "name": _EXT_PROC,
        "typed_config": {
            "@type": f"{FILTERS}.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": "picker"}},
            "failure_mode_allow": True,
            "message_timeout": patience,
            "max_message_timeout": f"{MAX_MESSAGE_TIMEOUT:g}s",
            "request_attributes": ["xds.cluster_name"],
            # What the picker reads, and no credentials.
            "forward_rules": {
                "allowed_headers": {
                    "patterns": [{"prefix": "x-puna-"}, {"exact": "x-request-id"}],
                }
            },
            "metadata_options": {"receiving_namespaces": {"untyped": [METADATA]}},
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "NONE",
                "response_header_mode": "SKIP",
                "response_body_mode": "NONE",
                "response_trailer_mode": "SEND",
            },
        },
    }


def _stateful_session() -> Any:
    return {
        "name": "envoy.filters.http.stateful_session",
        "typed_config": {
            "@type": f"{FILTERS}.stateful_session.v3.StatefulSession",
            "session_state": {
                "name": "envoy.http.stateful_session.header",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.http.stateful_session"
                    ".header.v3.HeaderBasedSessionState",
                    "name": "x-puna-session",
                },
            },
        },
    }


def _router() -> Any:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{FILTERS}.router.v3.Router"},
    }
