from __future__ import annotations

from datetime import datetime

from puna_node.authorization import Caller, caller_of, review_of
from puna_node.config import AgentConfig, Profile
from puna_node.host import HostFacts, HostPressure
from puna_node.node import (
    kubelet_version,
    lease_manifest,
    node_manifest,
    node_status,
    with_times,
)
from puna_node.quantities import divide_up, parse_quantity
from tests.unit.node.pods import NOW

HOST = HostFacts(
    operating_system="darwin",
    architecture="arm64",
    kernel_version="25.1",
    os_image="macOS 26",
    machine_id="m",
    boot_id="b",
    processors=10,
    memory_bytes=32 * 2**30,
    storage_bytes=2**40,
)
CONFIG = AgentConfig(
    node_name="studio",
    kubeconfig="/k",
    directory="/d",
    accelerator="metal",
    labels={"puna.dev/chip": "apple-m4"},
    extended_resources={"puna.dev/metal": 2},
    profiles=(Profile(image="x", run=("y",)),),
)


def test_a_node_is_registered_with_labels_and_taint() -> None:
    assert node_manifest(CONFIG, HOST) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "studio",
            "labels": {
                "kubernetes.io/hostname": "studio",
                "kubernetes.io/os": "darwin",
                "kubernetes.io/arch": "arm64",
                "puna.dev/accelerator": "metal",
                "puna.dev/runtime": "native",
                "puna.dev/chip": "apple-m4",
            },
        },
        "spec": {
            "providerID": "puna-node://studio",
            "taints": [
                {
                    "key": "virtual-kubelet.io/provider",
                    "value": "puna-node",
                    "effect": "NoSchedule",
                }
            ],
        },
    }
    untainted = CONFIG.model_copy(update={"tainted": False})
    assert "taints" not in node_manifest(untainted, HOST)["spec"]


def test_the_status_tells_capacity_and_conditions() -> None:
    status = node_status(
        CONFIG,
        HOST,
        HostPressure(memory=False, disk=True),
        address="192.168.1.5",
        port=10250,
        version="v1.36.0-puna-node",
        agent_version="0.1.0",
    )
    assert status["capacity"]["puna.dev/metal"] == "2"
    assert status["capacity"]["memory"] == f"{32 * 2**20}Ki"
    assert status["allocatable"]["memory"] == f"{32 * 2**20 - 100 * 2**10}Ki"
    assert status["addresses"][0] == {"type": "InternalIP", "address": "192.168.1.5"}
    assert status["nodeInfo"]["containerRuntimeVersion"] == "puna-node://0.1.0"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "MemoryPressure": "False",
        "DiskPressure": "True",
        "PIDPressure": "False",
        "NetworkUnavailable": "False",
    }


def test_a_version_is_that_of_the_cluster() -> None:
    assert kubelet_version({"major": "1", "minor": "36+"}) == "v1.36.0-puna-node"


def test_a_lease_belongs_to_the_node() -> None:
    lease = lease_manifest(CONFIG, node_uid="u", now=NOW)
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert lease["spec"] == {
        "holderIdentity": "studio",
        "leaseDurationSeconds": 40,
        "renewTime": "2026-11-21T12:00:00.000000Z",
    }


def test_conditions_keep_the_time_of_their_transition() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    kept = with_times([{"type": "Ready", "status": "True"}], old, NOW)[0]
    assert kept["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert datetime.fromisoformat(kept["lastHeartbeatTime"]) == NOW


def test_a_caller_is_who_the_certificate_names() -> None:
    certificate = {"subject": ((("organizationName", "system:masters"),), (("commonName", "api"),))}
    caller = caller_of(certificate)
    assert caller == Caller("api", ("system:masters", "system:authenticated"))
    assert caller_of({}) is None
    review = review_of(Caller("api", ("g",)), verb="get", node="studio", subresource="log")
    assert review["spec"]["resourceAttributes"] == {
        "group": "",
        "version": "v1",
        "resource": "nodes",
        "subresource": "log",
        "name": "studio",
        "verb": "get",
    }


def test_quantities_are_numbers() -> None:
    texts = ("500m", "1.5Gi", "2k", "1e3", "7", "100Mi")
    values = [float(parse_quantity(text)) for text in texts]
    assert values == [0.5, 1.5 * 2**30, 2000, 1000, 7, 100 * 2**20]
    assert divide_up(parse_quantity("1500m"), parse_quantity("1")) == 2
