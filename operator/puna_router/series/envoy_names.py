"""Series of Envoy's, and what each is published as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MILLISECOND: Final = 0.001


@dataclass(frozen=True, slots=True)
class EnvoySeries:
    """One series of Envoy's, and what it is published as."""

    source: str
    """Envoy's name in its Prometheus text."""
    name: str
    kind: str
    """counter, gauge or histogram."""
    documentation: str
    scale: float = 1.0
    """Factor from Envoy's unit to the published one."""


ENVOY: Final = (
    EnvoySeries(
        "envoy_puna_requests",
        "puna_router_requests",
        "counter",
        "Requests by endpoint (none: the router answered itself), pool, revision, name of the API "
        "key and status code; code 0: the client left before the answer.",
    ),
    EnvoySeries(
        "envoy_puna_failed_requests",
        "puna_router_failed_requests",
        "counter",
        "Requests that failed for their client: status 500 and above, answers that broke off, "
        "refusals by the queue, no answer for 5 s or more until the client left; by endpoint and "
        "revision.",
    ),
    EnvoySeries(
        "envoy_puna_duration",
        "puna_router_request_duration_seconds",
        "histogram",
        "Time from a request's first byte to its answer's last byte, for answers below 400.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_time_to_first_token",
        "puna_router_time_to_first_token_seconds",
        "histogram",
        "Time from a request's first byte to the first byte of its answer's body.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_inter_token",
        "puna_router_inter_token_seconds",
        "histogram",
        "Mean time from one generated token to the next, one value for each answer, in whole "
        "milliseconds, as llama-server reports it.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_generation_milliseconds",
        "puna_router_generation_seconds",
        "counter",
        "Time in which tokens were generated, as llama-server reports it.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_prompt_tokens",
        "puna_router_prompt_tokens",
        "counter",
        "Prompt tokens that were evaluated, as llama-server reports them, also by API key.",
    ),
    EnvoySeries(
        "envoy_puna_cached_tokens",
        "puna_router_cached_tokens",
        "counter",
        "Prompt tokens that were taken from the cache, as llama-server reports them, also by "
        "API key.",
    ),
    EnvoySeries(
        "envoy_puna_generated_tokens",
        "puna_router_generated_tokens",
        "counter",
        "Tokens that were generated, as llama-server reports them, also by API key.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_requests",
        "puna_router_shadow_requests",
        "counter",
        "Copies of requests that a server got, by endpoint, revision and status code.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_dropped",
        "puna_router_shadow_dropped",
        "counter",
        "Copies of requests that were dropped, by endpoint and reason: no_free_slot, gave_way, or "
        "none if the picker did not answer.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_duration",
        "puna_router_shadow_duration_seconds",
        "histogram",
        "Time from a copy's first byte to its answer's last byte, for answers below 400.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_time_to_first_token",
        "puna_router_shadow_time_to_first_token_seconds",
        "histogram",
        "Time from a copy's first byte to the first byte of its answer's body.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_inter_token",
        "puna_router_shadow_inter_token_seconds",
        "histogram",
        "Mean time from one generated token to the next in answers to copies, one value for each, "
        "in whole milliseconds.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_generation_milliseconds",
        "puna_router_shadow_generation_seconds",
        "counter",
        "Time in which tokens were generated for copies.",
        MILLISECOND,
    ),
    EnvoySeries(
        "envoy_puna_shadow_prompt_tokens",
        "puna_router_shadow_prompt_tokens",
        "counter",
        "Prompt tokens of copies that were evaluated.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_cached_tokens",
        "puna_router_shadow_cached_tokens",
        "counter",
        "Prompt tokens of copies that were taken from the cache.",
    ),
    EnvoySeries(
        "envoy_puna_shadow_generated_tokens",
        "puna_router_shadow_generated_tokens",
        "counter",
        "Tokens that were generated for copies.",
    ),
    EnvoySeries(
        "envoy_http_ext_proc_failure_mode_allowed",
        "puna_router_picker_bypassed",
        "counter",
        "Requests that went past a picker which was away or did not answer in time.",
    ),
    EnvoySeries(
        "envoy_http_downstream_rq_active",
        "puna_router_requests_active",
        "gauge",
        "Requests under way.",
    ),
    EnvoySeries(
        "envoy_http_downstream_cx_active",
        "puna_router_connections_active",
        "gauge",
        "Connections of clients.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_rq_active",
        "puna_router_backend_requests_active",
        "gauge",
        "Requests under way, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_rq_retry",
        "puna_router_retries",
        "counter",
        "Further attempts on another backend, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_upstream_cx_connect_fail",
        "puna_router_connect_failures",
        "counter",
        "Connections that a backend did not take, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_membership_total",
        "puna_router_backends",
        "gauge",
        "Backends, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_membership_healthy",
        "puna_router_backends_healthy",
        "gauge",
        "Backends that get requests, by revision.",
    ),
    EnvoySeries(
        "envoy_cluster_outlier_detection_ejections_active",
        "puna_router_backends_ejected",
        "gauge",
        "Backends that are left out because they refused connections, by revision.",
    ),
    EnvoySeries(
        "envoy_server_uptime", "puna_router_envoy_uptime_seconds", "gauge", "Age of Envoy."
    ),
    EnvoySeries(
        "envoy_server_memory_allocated",
        "puna_router_envoy_memory_bytes",
        "gauge",
        "Memory that Envoy has allocated.",
    ),
)

ENVOY_STATS: Final = r"^(puna|http|cluster|server)\."
"""Names of the stats that are asked of Envoy."""
