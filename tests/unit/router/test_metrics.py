from __future__ import annotations

from puna_router.metrics import ENVOY, RouterMetrics

ENVOYS = """\
# TYPE envoy_puna_requests counter
envoy_puna_requests{endpoint="chat",revision="chat-aaaaaaaa",key="",code="200"} 5
envoy_puna_requests{endpoint="chat",revision="chat-aaaaaaaa",key="alice",code="200"} 4
envoy_puna_requests{endpoint="",revision="",code="404"} 2
# TYPE envoy_cluster_membership_total gauge
envoy_cluster_membership_total{envoy_cluster_name="chat-aaaaaaaa"} 2
envoy_cluster_membership_total{envoy_cluster_name="no-backends"} 0
# TYPE envoy_http_downstream_rq_active gauge
envoy_http_downstream_rq_active{envoy_http_conn_manager_prefix="ingress"} 3
# TYPE envoy_other counter
envoy_other{} 1
# TYPE envoy_puna_duration histogram
envoy_puna_duration_bucket{endpoint="chat",revision="chat-aaaaaaaa",le="0.5"} 1
envoy_puna_duration_bucket{endpoint="chat",revision="chat-aaaaaaaa",le="2500"} 4
envoy_puna_duration_bucket{endpoint="chat",revision="chat-aaaaaaaa",le="+Inf"} 5
envoy_puna_duration_sum{endpoint="chat",revision="chat-aaaaaaaa"} 1500
envoy_puna_duration_count{endpoint="chat",revision="chat-aaaaaaaa"} 5
"""


REVISION = 'revision="chat-aaaaaaaa"'


def lines(text: str) -> set[str]:
    exposition = RouterMetrics().exposition(text).decode().splitlines()
    return {line for line in exposition if line[0] != "#" and "_created" not in line}


def test_envoys_series_have_our_names_and_base_units() -> None:
    chat = 'endpoint="chat",revision="chat-aaaaaaaa"'
    duration = "puna_router_request_duration_seconds"
    expected = {
        f'puna_router_requests_total{{code="200",{chat}}} 5.0',
        f'puna_router_requests_total{{code="200",endpoint="chat",key="alice",{REVISION}}} 4.0',
        'puna_router_requests_total{code="404",endpoint="none",revision="none"} 2.0',
        'puna_router_backends{revision="chat-aaaaaaaa"} 2.0',
        "puna_router_requests_active 3.0",
        f'{duration}_bucket{{endpoint="chat",le="0.0005",revision="chat-aaaaaaaa"}} 1.0',
        f'{duration}_bucket{{endpoint="chat",le="2.5",revision="chat-aaaaaaaa"}} 4.0',
        f'{duration}_bucket{{endpoint="chat",le="+Inf",revision="chat-aaaaaaaa"}} 5.0',
        f"{duration}_sum{{{chat}}} 1.5",
        f"{duration}_count{{{chat}}} 5.0",
    }
    found = lines(ENVOYS)
    assert expected == found - lines("") - {line for line in found if line.startswith("process_")}


def test_names_are_ours_and_given_once() -> None:
    names = [series.name for series in ENVOY]
    assert len(names) == len(set(names))
    assert all(name.startswith("puna_router_") for name in names)
