"""Envoy's configuration for the front. Pure: routers in, documents out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from puna_cli.front.routers import RouterAddress

Document = dict[str, Any]
READY_PATH: Final = "/.well-known/puna"
"""Answers with the cluster's name: how `puna up` knows that this is its own front."""
BOOTSTRAP: Final = "bootstrap.json"
DEFAULT_NAMESPACE: Final = "default"
_TYPE: Final = "type.googleapis.com/envoy"
_CLUSTER: Final = f"{_TYPE}.config.cluster.v3.Cluster"
_ENDPOINTS: Final = f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment"
_ROUTES: Final = f"{_TYPE}.config.route.v3.RouteConfiguration"
_LIMIT: Final = 1_000_000


def bootstrap(directory: Path, port: int) -> Document:
    """What Envoy starts with: one listener, everything else in files of `directory`."""
    return {
        "node": {"id": "front", "cluster": "front"},
        "dynamic_resources": {"cds_config": _file(directory, "cds.json")},
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": _socket("127.0.0.1", port),
                    # Envoy would share a taken port with whoever has it, each getting half.
                    "enable_reuse_port": False,
                    "filter_chains": [{"filters": [_connection_manager(directory)]}],
                }
            ]
        },
    }


def routes(cluster: str, namespaces: Iterable[str]) -> Document:
    """`/namespaces/<namespace>/...` to the routers of that namespace, the rest to `default`'s."""
    return {
        "version_info": "1",
        "resources": [
            {
                "@type": _ROUTES,
                "name": "front",
                "virtual_hosts": [
                    {
                        "name": "front",
                        "domains": ["*"],
                        "routes": [
                            _ready(cluster),
                            *(_namespace_route(name) for name in sorted(namespaces)),
                            _unknown_namespace(),
                            _route("/", DEFAULT_NAMESPACE),
                        ],
                    }
                ],
            }
        ],
    }


def clusters(directory: Path, namespaces: Iterable[str]) -> Document:
    """One Envoy cluster per namespace; its members come from a file of their own."""
    return {
        "version_info": "1",
        "resources": [
            {
                "@type": _CLUSTER,
                "name": namespace,
                "type": "EDS",
                "connect_timeout": "1s",
                "lb_policy": "LEAST_REQUEST",
                "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
                "eds_cluster_config": {"eds_config": _file(directory, endpoints_file(namespace))},
                "circuit_breakers": {
                    "thresholds": [
                        {
                            "max_connections": _LIMIT,
                            "max_pending_requests": _LIMIT,
                            "max_requests": _LIMIT,
                            "max_retries": _LIMIT,
                        }
                    ]
                },
            }
            for namespace in sorted(namespaces)
        ],
    }


def endpoints(namespace: str, routers: Iterable[RouterAddress]) -> Document:
    """The members of one namespace's cluster."""
    members = [
        {"endpoint": {"address": _socket(router.address, router.port)}} for router in routers
    ]
    return {
        "version_info": "1",
        "resources": [
            {
                "@type": _ENDPOINTS,
                "cluster_name": namespace,
                "endpoints": [{"lb_endpoints": members}] if members else [],
            }
        ],
    }


def endpoints_file(namespace: str) -> str:
    """File name of a namespace's members."""
    return f"eds-{namespace}.json"


def documents(
    cluster: str, directory: Path, routers: Mapping[str, tuple[RouterAddress, ...]]
) -> list[tuple[str, Document]]:
    """All files in the order in which they have to appear: nothing names what is not there yet."""
    namespaces = sorted({DEFAULT_NAMESPACE, *routers})
    return [
        *((endpoints_file(name), endpoints(name, routers.get(name, ()))) for name in namespaces),
        ("cds.json", clusters(directory, namespaces)),
        ("rds.json", routes(cluster, namespaces)),
    ]


def _connection_manager(directory: Path) -> Document:
    return {
        "name": "http",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3"
            ".HttpConnectionManager",
            "stat_prefix": "front",
            "codec_type": "AUTO",
            "rds": {"route_config_name": "front", "config_source": _file(directory, "rds.json")},
            "normalize_path": True,
            "server_header_transformation": "PASS_THROUGH",
            "preserve_external_request_id": True,
            # A stream may be silent for as long as the router behind allows.
            "stream_idle_timeout": "0s",
            "request_timeout": "0s",
            "local_reply_config": {
                "mappers": [
                    _error(
                        _flags("UH", "NC"),
                        "NoRouter",
                        "no router of this namespace is ready: "
                        "it has one while it holds an LLMEndpoint",
                    ),
                    _error(_flags("UF", "UC", "UR"), "RouterUnavailable", "%LOCAL_REPLY_BODY%"),
                    _error(_status("EQ", 503), "NoRouter", "%LOCAL_REPLY_BODY%"),
                    _error(_status("GE", 400), "FrontError", "%LOCAL_REPLY_BODY%"),
                ]
            },
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {
                        "@type": f"{_TYPE}.extensions.filters.http.router.v3.Router",
                        "suppress_envoy_headers": True,
                    },
                }
            ],
        },
    }


def _error(applies: Document, reason: str, message: str) -> Document:
    return {
        "filter": applies,
        "body_format_override": {
            "json_format": {
                "type": "error",
                "error": {
                    "code": "%RESPONSE_CODE%",
                    "type": "unavailable_error",
                    "reason": reason,
                    "message": message,
                    "request_id": "%REQ(X-REQUEST-ID)%",
                },
            },
            "content_type": "application/json",
        },
    }


def _flags(*flags: str) -> Document:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(operator: str, code: int) -> Document:
    value = {"default_value": code, "runtime_key": f"front.status_{operator.lower()}_{code}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _ready(cluster: str) -> Document:
    return {
        "match": {"path": READY_PATH},
        "direct_response": {
            "status": 200,
            "body": {"inline_string": f'{{"cluster": "{cluster}"}}\n'},
        },
        "response_headers_to_add": [
            {"header": {"key": "content-type", "value": "application/json"}}
        ],
    }


def _namespace_route(namespace: str) -> Document:
    route = _route(f"/namespaces/{namespace}/", namespace)
    route["route"]["prefix_rewrite"] = "/"
    return route


def _route(prefix: str, cluster: str) -> Document:
    return {
        "match": {"prefix": prefix},
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            # Nothing of the request has been sent when a connection fails.
            "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
        },
    }


def _unknown_namespace() -> Document:
    return {
        "match": {"prefix": "/namespaces/"},
        "direct_response": {
            "status": 503,
            "body": {"inline_string": "this namespace has no router: it holds no LLMEndpoint"},
        },
    }


def _file(directory: Path, name: str) -> Document:
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(directory / name),
            "watched_directory": {"path": str(directory)},
        },
    }


def _socket(address: str, port: int) -> Document:
    return {"socket_address": {"address": address, "port_value": port}}
