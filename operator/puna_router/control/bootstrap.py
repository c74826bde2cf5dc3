"""Envoy's bootstrap document: where it listens for its admin and where its files are."""

from __future__ import annotations

from typing import Final

from puna_router.control.clusters import HOSTS, hosts_service
from puna_router.control.snapshot import file_source
from puna_router.control.world import HEALTH_EVENTS, HOSTS_SOCKET, Resource, Site

ADMIN: Final = "admin.sock"
"""UNIX socket in the shared folder: Envoy's admin interface."""
ADMIN_MODE: Final = 0o600
"""Only the user that runs Envoy and its control process may talk to the admin socket."""
CONNECTION_LIMIT: Final = 50_000

_NAMES: Final[tuple[str, ...]] = (
    r"puna\..*",
    r"server\..*",
    r"listener_manager\..*",
    r"cluster_manager\..*",
    r"extension_config_discovery\..*",
    r"http\.ingress\.(downstream_(rq|cx)_.*|rds\..*|ext_proc\..*)",
    r"listener\..*\.(server_ssl_socket_factory|ssl)\..*",
    r"sds\..*",
    r"cluster\.[^.]+\.(membership_(healthy|total)|upstream_cx_connect_fail)",
    r"cluster\.[^.]+\.upstream_rq_(active|retry|retry_success|total)",
    r"cluster\.[^.]+\.(outlier_detection\.ejections_active|health_check\.(attempt|failure|healthy))",
)


def bootstrap(site: Site) -> Resource:
    """The whole bootstrap document.

    Everything that changes comes from xDS files, and hosts over a socket of the control process.
    """
    clusters = [hosts_service(f"{site.socket_directory}/{HOSTS_SOCKET}")]
    return {
        **process(f"{site.socket_directory}/{ADMIN}", f"{site.directory}/{HEALTH_EVENTS}"),
        "static_resources": {"clusters": clusters},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": HOSTS}}],
            },
            "lds_config": file_source(site, "lds", "lds"),
            "cds_config": file_source(site, "cds", "cds"),
        },
    }


def process(admin_socket: str, events: str) -> Resource:
    """What an Envoy process is, apart from what it serves; `events` is told of ejected hosts."""
    limit = {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
        "downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": CONNECTION_LIMIT,
    }
    names = [{"safe_regex": {"regex": name}} for name in _NAMES]
    return {
        "node": {"id": "puna-router", "cluster": "puna-router"},
        "cluster_manager": {"outlier_detection": {"event_log_path": events}},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": ADMIN_MODE}}},
        # Histograms are as old as the last flush; flushing on demand would show the one before.
        "stats_flush_interval": "5s",
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": names}}},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": limit,
                }
            ]
        },
    }
