from __future__ import annotations

from puna.core.pod_security import container_security, pod_ip, pod_security


def test_our_pods_pass_the_restricted_profile() -> None:
    assert pod_security() | container_security() == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_a_pod_learns_its_address_from_the_downward_api() -> None:
    assert pod_ip()["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
