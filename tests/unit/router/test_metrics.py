from __future__ import annotations

from puna_router.metrics import RouterMetrics
from puna_router.picker.state import EndpointState, HostState, PickerState, WaitState
from puna_router.series.envoy import ServedNames
from puna_router.series.envoy_names import ENVOY

ENVOYS = """\
# TYPE envoy_puna_requests counter
envoy_puna_requests{endpoint="chat",revision="chat-aaaaaaaa",key="",code="200"} 5
envoy_puna_requests{endpoint="chat",revision="chat-aaaaaaaa",key="alice",code="200"} 4
envoy_puna_requests{endpoint="",revision="",code="404"} 2
envoy_puna_requests{endpoint="chat",revision="chat-00000000",code="200"} 7
envoy_puna_requests{endpoint="gone",revision="gone-aaaaaaaa",code="200"} 9
# TYPE envoy_puna_generation_milliseconds counter
envoy_puna_generation_milliseconds{endpoint="chat",revision="chat-aaaaaaaa"} 2500
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
SERVED = ServedNames(frozenset({"chat"}), frozenset({"chat-aaaaaaaa"}))
PICKER = PickerState(
    {
        "chat": EndpointState(
            depth=3,
            max_depth=32,
            waiting={"alice": 3},
            hosts={
                "10.0.0.1:80": HostState(slots=4, in_flight=4, healthy=True),
                "10.0.0.2:80": HostState(slots=4, in_flight=1, healthy=False),
            },
            picked=20,
            ended=15,
            cancelled=2,
            rejected={"queue_full": 5},
            waits=WaitState((1, 2, *(0,) * 11, 1), 61.5),
            prefix_hits=8,
            prefix_misses=4,
        )
    }
)


def lines(text: str, picker: PickerState | None = None) -> set[str]:
    exposition = RouterMetrics().exposition(text, picker, SERVED, {}).decode().splitlines()
    return {line for line in exposition if line[0] != "#" and "_created" not in line}


def test_envoys_series_have_our_names_and_base_units_and_go_with_what_they_are_about() -> None:
    chat = 'endpoint="chat",revision="chat-aaaaaaaa"'
    duration = "puna_router_request_duration_seconds"
    expected = {
        f'puna_router_requests_total{{code="200",endpoint="chat",key="none",{REVISION}}} 5.0',
        f'puna_router_requests_total{{code="200",endpoint="chat",key="alice",{REVISION}}} 4.0',
        'puna_router_requests_total{code="404",endpoint="none",revision="none"} 2.0',
        f"puna_router_generation_seconds_total{{{chat}}} 2.5",
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


def test_the_picker_tells_of_its_queue() -> None:
    expected = {
        "puna_router_picker_up 1.0",
        'puna_router_queue_depth{endpoint="chat"} 3.0',
        'puna_router_queue_limit{endpoint="chat"} 32.0',
        'puna_router_slots{endpoint="chat"} 4.0',
        'puna_router_slots_busy{endpoint="chat"} 5.0',
        'puna_router_picked_total{endpoint="chat"} 20.0',
        'puna_router_queue_left_total{endpoint="chat"} 2.0',
        'puna_router_prefix_hits_total{endpoint="chat"} 8.0',
        'puna_router_prefix_misses_total{endpoint="chat"} 4.0',
        'puna_router_refused_total{endpoint="chat",reason="queue_full"} 5.0',
        'puna_router_queue_wait_seconds_bucket{endpoint="chat",le="0.001"} 1.0',
        'puna_router_queue_wait_seconds_bucket{endpoint="chat",le="300.0"} 3.0',
        'puna_router_queue_wait_seconds_bucket{endpoint="chat",le="+Inf"} 4.0',
        'puna_router_queue_wait_seconds_sum{endpoint="chat"} 61.5',
    }
    assert expected - lines("", PICKER) == set()
    assert "puna_router_picker_up 0.0" in lines("")
