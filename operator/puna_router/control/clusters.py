"""Clusters and their hosts: one per revision, so that each is counted and ejected by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from puna_router.config import EndpointConfig, HealthCheckConfig, Strategy
from puna_router.control import upstream
from puna_router.control.balancing import balancing
from puna_router.control.external import ExternalServer
from puna_router.control.world import Host, Resource, cluster_name

NO_BACKENDS: Final = "no-backends"
"""Cluster without hosts: where requests go whose endpoint has no revision yet. Not a cluster name
of any endpoint, since those end in a revision's eight digits."""
PICKER: Final = "picker"
"""Cluster of the picker; not of any endpoint, for the same reason."""
CONTROL: Final = "control"
"""Cluster of the control process, as clients reach it."""
SHADOW: Final = "shadow"
"""Cluster of the listener for copies of requests."""
SHADOW_SOCKET: Final = "shadow.sock"
"""UNIX socket in the shared folder on which Envoy listens for copies, from itself."""
HOSTS: Final = "hosts"
"""Cluster of the control process, as Envoy asks it for hosts."""
BUFFER_LIMIT: Final = 32 * 1024 * 1024
_REFUSALS: Final = {"start": 400, "end": 500}
IDLE_CONNECTION: Final = "0.250s"
"""How long a connection to a server is kept without a request."""
REQUESTS_PER_CONNECTION: Final = 64
"""llama-server ends one after 100."""
CHECK_TIMEOUT: Final = (1.0, 5.0)
"""Shortest and longest time that a health check waits, in seconds."""

_CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP_OPTIONS_TYPE: Final = f"type.googleapis.com/{_HTTP_OPTIONS}"
_UNBOUNDED: Final = 1_000_000
_WHOLLY: Final = 1_000_000
"""Percent by which a priority is held to be larger than it is: one healthy host is enough."""


def cluster(
    config: EndpointConfig,
    revision: str,
    source: Resource,
    *,
    events: str,
    servers: Iterable[ExternalServer] = (),
) -> Resource:
    """Cluster of one revision; `source` says where its hosts come from.

    Its health goes to the file `events`; `servers` are the external ones among its hosts.
    """
    foreign = bool(config.external)
    affine = config.strategy is Strategy.PREFIX_AFFINITY
    return {
        "@type": _CLUSTER,
        "name": cluster_name(config.name, revision),
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": BUFFER_LIMIT,
        "health_checks": [_health_check(config.health_check, events, foreign=foreign)],
        "outlier_detection": _outlier_detection(),
        # A host that has left the document gets nothing more, however healthy it is.
        "ignore_health_on_host_removal": True,
        "common_lb_config": {
            # Nothing is better than a server known to be dead.
            "healthy_panic_threshold": {"value": 0},
            # News of hosts act at once.
            "update_merge_window": "0s",
            # A new host is told from one that has failed its check.
            "ignore_new_hosts_until_first_hc": True,
        },
        "load_balancing_policy": {"policies": [balancing(config.strategy)]},
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": _protocol_options(
            upstream.filters(affine=affine, foreign=foreign)
        ),
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
        },
        **upstream.transport(servers),
        **source,
    }


def picker(socket: str) -> Resource:
    """The cluster of the picker."""
    return {"@type": _CLUSTER, **_over_socket(PICKER, socket)}


def shadow(socket: str) -> Resource:
    """The cluster of the listener for copies of requests; they share few connections."""
    return {
        "@type": _CLUSTER,
        "per_connection_buffer_limit_bytes": BUFFER_LIMIT,
        **_over_socket(SHADOW, socket),
    }


def hosts_service(socket: str) -> Resource:
    """The cluster of what Envoy asks for hosts, as a member of the bootstrap document."""
    return _over_socket(HOSTS, socket)


def _over_socket(name: str, socket: str) -> Resource:
    """A neighbour that speaks HTTP/2 on a UNIX socket."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _HTTP_OPTIONS_TYPE,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": _on_socket(name, socket),
    }


def control(socket: str) -> Resource:
    """The cluster of the control process, which tells clients of their endpoint.

    Two at a time: whatever asks, it has to follow hosts meanwhile.
    """
    return {
        "@type": _CLUSTER,
        "name": CONTROL,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": 2, "max_pending_requests": 64}],
        },
        "load_assignment": _on_socket(CONTROL, socket),
    }


def _on_socket(name: str, socket: str) -> Resource:
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}


def no_backends() -> Resource:
    """The cluster that has no hosts."""
    return {
        "@type": _CLUSTER,
        "name": NO_BACKENDS,
        "type": "STATIC",
        "load_assignment": {"cluster_name": NO_BACKENDS},
    }


def load_assignment(name: str, hosts: Iterable[Host], key: str | None = None) -> Resource:
    """Hosts of one cluster; `key` is what those of Puna require, where others require another.

    Those of a higher priority get requests only while no other is healthy, however many are ill.
    """
    by_priority: dict[int, list[Resource]] = {}
    for host in hosts:
        by_priority.setdefault(host.priority, []).append(_lb_endpoint(host, key))
    assignment: Resource = {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": [
            {"priority": priority, "lb_endpoints": by_priority.get(priority, [])}
            for priority in range(max(by_priority, default=-1) + 1)
        ],
    }
    if len(assignment["endpoints"]) > 1:
        assignment["policy"] = {"overprovisioning_factor": _WHOLLY}
    return assignment


def _lb_endpoint(host: Host, key: str | None) -> Resource:
    address = {"socket_address": {"address": host.address, "port_value": host.port}}
    metadata = upstream.host_metadata(host, key)
    return {
        "endpoint": {"address": address, **upstream.naming(host)},
        "load_balancing_weight": host.slots,
        **({"metadata": {"filter_metadata": metadata}} if metadata else {}),
    }


def _health_check(check: HealthCheckConfig, events: str, *, foreign: bool) -> Resource:
    """`/health`, at one pace whether there is traffic or not; changes go to the file `events`.

    A status of 500 to 599 counts towards the threshold; without `retriable_statuses` the first one
    would exclude a backend, whatever the threshold. A `foreign` server may not have this page, or
    want a key for it: that it says so is a sign of life.
    """
    interval = _duration(check.interval_seconds)
    shortest, longest = CHECK_TIMEOUT
    return {
        "timeout": _duration(min(max(check.interval_seconds, shortest), longest)),
        "interval": interval,
        "unhealthy_interval": interval,
        "no_traffic_interval": interval,
        "interval_jitter_percent": 10,
        "unhealthy_threshold": check.failure_threshold,
        "healthy_threshold": 1,
        # llama-server closes idle connections; a check would now and then race with that.
        "reuse_connection": False,
        "http_health_check": {
            "path": "/health",
            "expected_statuses": [{"start": 200, "end": 201}, *([_REFUSALS] if foreign else [])],
            "retriable_statuses": [{"start": 500, "end": 600}],
        },
        "event_logger": [
            {
                "name": "envoy.health_check.event_sinks.file",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink",
                    "event_log_path": events,
                },
            }
        ],
    }


def _outlier_detection() -> Resource:
    """Exclude a server that refuses connections, at once and without waiting for a health check.

    What it answers never excludes it: a prompt that makes a model fail would take down one backend
    after the other.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 2,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "30s",
        "max_ejection_percent": 100,
        "successful_active_health_check_uneject_host": True,
    }


def _thresholds() -> Resource:
    """No queue and no limit here: a retry each for all requests of a server that died is wanted."""
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return dict.fromkeys(names, _UNBOUNDED)


def _protocol_options(filters: list[Resource]) -> Resource:
    """Connections are used again, for as long as a server may be trusted to keep them.

    llama.cpp's server closes one after a stream although it promised to keep it; such requests ask
    for the end of theirs (`lua/select.lua`). It closes idle ones after 5 s, and some versions have
    one thread for each.
    """
    return {
        _HTTP_OPTIONS: {
            "@type": _HTTP_OPTIONS_TYPE,
            "common_http_protocol_options": {
                "idle_timeout": IDLE_CONNECTION,
                "max_requests_per_connection": REQUESTS_PER_CONNECTION,
            },
            "explicit_http_config": {"http_protocol_options": {}},
            **({"http_filters": filters} if filters else {}),
        }
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
