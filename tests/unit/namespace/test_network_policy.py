from __future__ import annotations

from puna.core.naming import endpoint_labels, endpoint_port, labels
from puna.namespace.anchor import router_labels
from puna.namespace.network_policy import build_network_policies
from puna.settings import Settings
from tests.factories import NAMESPACE


def test_only_routers_reach_a_llama_server() -> None:
    _, backends = build_network_policies(NAMESPACE, Settings())
    (rule,) = backends["spec"]["ingress"]
    (source,) = rule["from"]
    selector = source["podSelector"]["matchLabels"].items()
    assert selector <= router_labels().items()
    assert not selector <= endpoint_labels("chat", "llama-server").items()
    assert "namespaceSelector" not in source


def test_the_operator_reaches_it_from_its_own_namespace_alone() -> None:
    _, backends = build_network_policies(NAMESPACE, Settings(namespace="puna-system"))
    _, operator = backends["spec"]["ingress"][0]["from"]
    assert operator == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "puna-system"}},
        "podSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "puna",
                "app.kubernetes.io/component": "operator",
            }
        },
    }


def test_every_port_that_a_server_can_have_is_reached() -> None:
    _, backends = build_network_policies(NAMESPACE, Settings())
    (port,) = backends["spec"]["ingress"][0]["ports"]
    assert (port["port"], port["endPort"]) == (20000, 29999)
    assert port["port"] <= endpoint_port(NAMESPACE, "chat") <= port["endPort"]


def test_policies_select_our_pods_alone() -> None:
    router, backends = build_network_policies(NAMESPACE, Settings())
    of_router = router["spec"]["podSelector"]["matchLabels"].items()
    of_backends = backends["spec"]["podSelector"]["matchLabels"].items()
    server = endpoint_labels("chat", "llama-server", pool="gpu", process="aaaaaaaa").items()
    assert of_router <= router_labels().items()
    assert of_backends <= server
    assert not of_router <= server
    foreign = labels(instance="x", component="llama-server") | {
        "app.kubernetes.io/managed-by": "Helm"
    }
    assert not of_backends <= foreign.items()
