"""What the operator remembers of objects."""

from __future__ import annotations

from typing import Any

from puna.core.plan import Manifest
from puna.core.sharing import FieldSetPool
from puna.core.trim import is_same, trim


def live(kind: str, **members: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": "chat",
            "namespace": "team",
            "uid": "u1",
            "resourceVersion": "5",
            "selfLink": "/old",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "theirs": "kept",
            },
            "managedFields": [
                ours(),
                ours(subresource="status"),
                ours(manager="kubectl"),
                ours(operation="Update"),
            ],
        },
        **members,
    }


def ours(**changes: Any) -> Manifest:
    return {
        "manager": "puna",
        "operation": "Apply",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:a": {}}, "f:metadata": {"f:labels": {"f:b": {}}}},
    } | changes


def test_other_managers_fields_and_kubectls_copy_are_forgotten() -> None:
    metadata = trim(live("Service", spec={"a": 1}))["metadata"]
    assert [set(entry) for entry in metadata["managedFields"]] == [
        {"manager", "operation", "apiVersion", "fieldsV1"}
    ]
    assert metadata["annotations"] == {"theirs": "kept"}
    assert "selfLink" not in metadata


def test_of_a_pod_only_its_place_and_its_status_are_kept() -> None:
    status = {"phase": "Running", "podIP": "127.0.0.1", "qosClass": "Burstable"}
    pod = trim(live("Pod", spec={"nodeName": "n", "containers": []}, status=status))
    assert pod["spec"] == {"nodeName": "n"}
    assert pod["status"] == {"phase": "Running", "podIP": "127.0.0.1"}
    assert "managedFields" not in pod["metadata"]


def test_of_a_deployments_status_what_went_wrong_is_kept() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "Quota", "message": "no"}
    status = {
        "observedGeneration": 2,
        "updatedReplicas": 1,
        "replicas": 1,
        "conditions": [
            failure | {"lastUpdateTime": "2026-01-01T00:00:00Z"},
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
            {"type": "Available", "status": "False"},
        ],
    }
    kept = trim(live("Deployment", spec={}, status=status))["status"]
    assert kept == {"observedGeneration": 2, "updatedReplicas": 1, "conditions": [failure]}


def test_versions_that_differ_in_nothing_kept_are_the_same() -> None:
    before = trim(live("Service", spec={"a": 1}))
    after = trim(live("Service", spec={"a": 1}))
    after["metadata"]["resourceVersion"] = "6"
    assert is_same(before, after)
    assert not is_same(before, after | {"spec": {"a": 2}})
    after["metadata"]["labels"] = {"new": "label"}
    assert not is_same(before, after)


def test_equal_field_sets_are_held_once() -> None:
    pool = FieldSetPool()
    first, second = trim(live("Service")), trim(live("Service"))
    pool.share(first)
    pool.share(second)
    one, other = (item["metadata"]["managedFields"][0]["fieldsV1"] for item in (first, second))
    assert one["f:spec"] is other["f:spec"]
    assert one["f:metadata"]["f:labels"] is other["f:metadata"]["f:labels"]
