"""Clusters and their hosts: one per revision, so that each is counted and ejected by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from puna_router.config import Backend, EndpointConfig, HealthCheckConfig
from puna_router.control.world import Resource, cluster_name

NO_BACKENDS: Final = "no-backends"
"""Cluster without hosts: where requests go whose endpoint has no revision yet. Not a cluster name
of any endpoint, since those end in a revision's eight digits."""
BUFFER_LIMIT: Final = 32 * 1024 * 1024
CHECK_TIMEOUT: Final = (1.0, 5.0)
"""Shortest and longest time that a health check waits, in seconds."""

_CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_UNBOUNDED: Final = 1_000_000


def cluster(config: EndpointConfig, revision: str, source: Resource) -> Resource:
    """Cluster of one revision; `source` says where its hosts come from."""
    return {
        "@type": _CLUSTER,
        "name": cluster_name(config.name, revision),
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": BUFFER_LIMIT,
        "health_checks": [_health_check(config.health_check)],
        "outlier_detection": _outlier_detection(),
        # A host that has left the document gets nothing more, however healthy it is.
        "ignore_health_on_host_removal": True,
        # Nothing is better than a server known to be dead; and news of hosts act at once.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "load_balancing_policy": {"policies": [_least_request()]},
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "typed_extension_protocol_options": _protocol_options(),
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 10}
        },
        **source,
    }


def no_backends() -> Resource:
    """The cluster that has no hosts."""
    return {
        "@type": _CLUSTER,
        "name": NO_BACKENDS,
        "type": "STATIC",
        "load_assignment": {"cluster_name": NO_BACKENDS},
    }


def load_assignment(name: str, backends: Iterable[Backend]) -> Resource:
    """Hosts of one cluster."""
    hosts = [
        {
            "endpoint": {
                "address": {
                    "socket_address": {"address": backend.address, "port_value": backend.port}
                }
            }
        }
        for backend in backends
    ]
    return {
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": hosts}] if hosts else [],
    }


def _health_check(check: HealthCheckConfig) -> Resource:
    """`/health`, at one pace whether there is traffic or not.

    A status of 500 to 599 counts towards the threshold; without `retriable_statuses` the first one
    would exclude a backend, whatever the threshold.
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
            "expected_statuses": [{"start": 200, "end": 201}],
            "retriable_statuses": [{"start": 500, "end": 600}],
        },
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


def _least_request() -> Resource:
    """The less busy of two backends drawn at random.

    Not the least busy of all: a backend that fails at once is always that, so another attempt would
    find it again, however often it asks for one that has not been tried.
    """
    return {
        "typed_extension_config": {
            "name": "envoy.load_balancing_policies.least_request",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                "choice_count": 2,
            },
        }
    }


def _thresholds() -> Resource:
    """No queue and no limit here: a retry each for all requests of a server that died is wanted."""
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return dict.fromkeys(names, _UNBOUNDED)


def _protocol_options() -> Resource:
    """One request per connection.

    llama.cpp's server closes a connection after a stream although it promised to keep it, and
    about 3 % of the requests that would reuse one fail. The price is a connection per request.
    """
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": {"max_requests_per_connection": 1},
            "explicit_http_config": {"http_protocol_options": {}},
        }
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
