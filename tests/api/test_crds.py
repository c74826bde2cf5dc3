"""What the API server makes of good resources: the same as the models do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from puna.api.conditions import Condition
from puna.api.crd import KINDS
from puna.api.llmendpoint import LLMEndpoint
from puna.api.llmendpoint_status import (
    FetchStatus,
    LLMEndpointStatus,
    PoolStatus,
    RevisionRole,
    RevisionStatus,
    Summary,
)
from puna.api.pool import Accelerator
from puna.api.preset import Preset
from puna.api.reasons import ConditionType, Reason
from puna.api.resource import Resource
from tests.cluster import ControlPlane

pytestmark = pytest.mark.api

Node = dict[str, Any]
SHA = "0" * 64
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/*.yaml"))

ENDPOINTS: dict[str, Node] = {
    "smallest": {"model": {"uri": "file:///models/a.gguf"}, "accelerator": "cpu"},
    "shorthand": {
        "model": {"uri": "https://example.org/a.gguf?x=1", "sha256": SHA},
        "accelerator": "cuda",
        "replicas": 0,
        "acceleratorCount": 2,
        "resources": {"requests": {"cpu": 2, "memory": "6Gi"}, "limits": {"memory": "8Gi"}},
        "nodeSelector": {"zone": "a", "empty": ""},
        "presetRef": {"name": "balanced"},
        "presets": ["precise", "creative"],
        "rollout": {"strategy": "Replace"},
        "access": {
            "apiKeySecretRef": {"name": "team-keys"},
            "rateLimit": {"requestsPerMinute": 60, "burst": 3},
        },
    },
    "empty-objects": {
        "model": {"uri": "pvc://claim/a/b.gguf"},
        "accelerator": "metal",
        "rollout": {},
        "access": {"apiKeySecretRef": {"name": "team-keys"}, "rateLimit": {}},
        "resources": {},
        "pools": [],
        "presets": [],
        "nodeSelector": {},
    },
    "pools": {
        "model": {
            "uri": "hf://organization/repository/file.gguf",
            "sha256": SHA,
            "credentialsSecretRef": {"name": "token"},
            "caSecretRef": {"name": "ca"},
            "cache": {"persistentVolumeClaim": {"claimName": "models"}},
        },
        "pools": [
            {"name": "gpu", "accelerator": "cuda", "replicas": 2, "acceleratorCount": 4},
            {"name": "cpu", "accelerator": "cpu", "resources": {"requests": {"cpu": "500m"}}},
        ],
    },
}
PRESETS: dict[str, Node] = {
    "empty": {},
    "sampling": {
        "sampling": {"temperature": 0, "topP": 1, "minP": 0.05, "seed": 4_294_967_295, "stop": []},
        "precedence": "Forced",
    },
    "server": {"server": {}, "prompt": {}},
    "whole": {
        "sampling": {
            "temperature": 0.7,
            "topK": 40,
            "repeatPenalty": 1.1,
            "maxTokens": 512,
            "stop": ["END", "\n\n"],
        },
        "server": {
            "threads": 8,
            "contextLength": 2048,
            "slots": 4,
            "batchSize": 256,
            "cacheTypeK": "q8_0",
            "cacheTypeV": "q8_0",
            "flashAttention": "on",
            "cacheReuse": 256,
            "promptCacheMemory": "64Mi",
            "ropeScaling": {"type": "yarn", "factor": 2},
        },
        "prompt": {"system": "Answer briefly.", "chatTemplate": "{{ messages }}"},
    },
}


OF_ENDPOINTS = (
    ConditionType.ACCEPTED,
    ConditionType.RESOLVED_REFS,
    ConditionType.MODEL_READY,
    ConditionType.AVAILABLE,
    ConditionType.PROGRESSING,
    ConditionType.READY,
)


def manifest(kind: type[Resource], name: str, spec: Node) -> Node:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_established_and_structural(
    crds: ControlPlane, kind: type[Resource]
) -> None:
    answer = json.loads(crds.kubectl("get", "crd", f"{kind.plural}.puna.dev", "-o", "json"))
    conditions = {item["type"]: item["status"] for item in answer["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize(
    ("kind", "name", "spec"),
    [(LLMEndpoint, name, spec) for name, spec in ENDPOINTS.items()]
    + [(Preset, name, spec) for name, spec in PRESETS.items()],
    ids=[*ENDPOINTS, *(f"preset-{name}" for name in PRESETS)],
)
def test_the_server_defaults_what_the_models_default(
    crds: ControlPlane, kind: type[Resource], name: str, spec: Node
) -> None:
    written = manifest(kind, name, spec)
    stored = json.loads(
        crds.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(written)
        )
    )
    written["metadata"]["namespace"] = stored["metadata"]["namespace"]
    expected = kind.model_validate(written).model_dump(exclude={"metadata"})
    assert kind.model_validate(stored).model_dump(exclude={"metadata"}) == expected


def test_a_preset_may_leave_out_its_spec(crds: ControlPlane) -> None:
    written = manifest(Preset, "empty", {})
    del written["spec"]
    stored = json.loads(
        crds.kubectl(
            "create", "--dry-run=server", "-o", "json", "-f", "-", text=json.dumps(written)
        )
    )
    assert stored["spec"] == {"precedence": "Default"}


def test_a_whole_status_is_stored_and_read_back_equal(crds: ControlPlane, namespace: str) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    status = LLMEndpointStatus(
        observed_generation=1,
        conditions=tuple(
            Condition(
                type=kind,
                status="Unknown",
                reason=Reason.MODEL_UNKNOWN,
                message="m",
                last_transition_time=now,
                observed_generation=1,
            )
            for kind in OF_ENDPOINTS
        ),
        replicas=3,
        ready_replicas=2,
        selector="puna.dev/endpoint=chat",
        url="http://chat.default.svc/v1",
        stable_revision="0123abcd",
        fetch=FetchStatus(
            stage="Downloading",
            completed_bytes=1 << 40,
            total_bytes=1 << 41,
            bytes_per_second=1 << 30,
            pod="chat-0",
        ),
        pools=(PoolStatus(name="default", accelerator=Accelerator.CPU, replicas=3),),
        revisions=(
            RevisionStatus(
                name="0123abcd", model="file:///a", role=RevisionRole.STABLE, created_at=now
            ),
        ),
        summary=Summary(ready="2/3", model="a.gguf", pools="default 2/3", rollout="-"),
    )
    written = manifest(LLMEndpoint, "chat", ENDPOINTS["smallest"])
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(written))
    patch = json.dumps({"status": status.to_dict()})
    crds.kubectl(
        *("patch", "-n", namespace, "llme/chat", "--subresource=status", "--type=merge"),
        *("-p", patch),
    )
    stored = json.loads(crds.kubectl("get", "-n", namespace, "llme/chat", "-o", "json"))
    assert LLMEndpoint.model_validate(stored).status == status
    columns = crds.kubectl("get", "-n", namespace, "llme", "-o", "wide")
    assert columns.splitlines()[0].split() == [
        *("NAME", "READY", "MODEL", "POOLS", "ROLLOUT", "URL", "REASON", "REVISION", "AGE")
    ]
    assert "2/3" in columns
    assert "chat" in crds.kubectl("get", "-n", namespace, "puna")


def test_a_status_of_a_newer_operator_is_stored(crds: ControlPlane, namespace: str) -> None:
    """The definitions may be older than the operator: reasons grow."""
    written = manifest(LLMEndpoint, "chat", ENDPOINTS["smallest"])
    crds.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(written))
    condition = {
        "type": "Tested",
        "status": "True",
        "reason": "ReasonOfTomorrow",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    crds.kubectl(
        *("patch", "-n", namespace, "llme/chat", "--subresource=status", "--type=merge"),
        *("-p", json.dumps({"status": {"conditions": [condition]}})),
    )


def test_the_committed_files_are_applied_by_plain_kubectl(crds: ControlPlane) -> None:
    folder = Path(__file__).parents[2] / "crds"
    crds.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(folder))


def test_every_example_is_accepted(crds: ControlPlane) -> None:
    assert EXAMPLES
    kinds = {kind.kind for kind in KINDS}
    for file in EXAMPLES:
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] in kinds:
                crds.kubectl(
                    *("create", "--dry-run=server", "--validate=strict", "-f", "-"),
                    text=json.dumps(document),
                )
