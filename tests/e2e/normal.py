"""Objects without what differs from one run to the next: to compare two end states."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from puna.core.naming import BACKEND_KEY_DIGEST, LABEL_PROVEN, LABEL_ROLE
from tests.e2e.objects import Manifest

MADE_BY_THE_SERVER: Final = (
    "creationTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
VARYING: Final = frozenset(
    {
        "clusterIP",
        "clusterIPs",
        "created",
        "createdAt",
        "lastTransitionTime",
        "lastUpdateTime",
        "observedGeneration",
        "pod-template-hash",
        BACKEND_KEY_DIGEST,
        "puna.dev/promoted-at",
        "puna.dev/service-account-uid",
        "deployment.kubernetes.io/revision",
        "promotedAt",
        "revision",
        "terminatingReplicas",
    }
)
"""Members whose value is a time, a random name, or a count of what happened on the way."""
PORT: Final = re.compile(r"(?<![\d.])2\d{4}(?!\d)")
TEMPLATE_HASH: Final = re.compile(r"-[0-9a-f]{8,10}(-[a-z0-9]{5})?$")


def normal_form(objects: Iterable[Manifest], namespace: str) -> dict[str, object]:
    """Objects by kind and name; Pods and ReplicaSets, whose names are random, are counted."""
    normal: dict[str, object] = {}
    made: Counter[str] = Counter()
    for item in objects:
        metadata = item["metadata"]
        kind, name = item["kind"], metadata["name"]
        if kind == "ReplicaSet":
            # A Deployment keeps old ones; how many depends on what it saw on the way.
            continue
        if kind == "Pod":
            made[f"{kind} {TEMPLATE_HASH.sub('', name)} {item['status'].get('phase')}"] += 1
            continue
        kept = {key: value for key, value in item.items() if key != "metadata"}
        if kind == "Secret":
            kept["data"] = sorted(item["data"])
        if kind in {"PodDisruptionBudget", "Deployment"}:
            kept.pop("status", None)
        if metadata.get("labels", {}).get(LABEL_ROLE) == "retired":
            # Whether it had come to serve before it was replaced is a matter of milliseconds.
            metadata["labels"].pop(LABEL_PROVEN, None)
            metadata.pop("annotations", None)
        kept["metadata"] = {
            key: value for key, value in metadata.items() if key not in MADE_BY_THE_SERVER
        }
        stable = _stable(kept)
        if not stable["metadata"].get("annotations"):
            stable["metadata"].pop("annotations", None)  # all that there were varied
        text = json.dumps(stable, sort_keys=True)
        text = PORT.sub("20000", text.replace(namespace, "<namespace>"))
        normal[f"{kind} {name}"] = json.loads(text)
    normal.update(made)
    return normal


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        if "ownerReferences" in value:
            owners = [{**owner, "uid": ""} for owner in value["ownerReferences"]]
            value = {**value, "ownerReferences": sorted(owners, key=lambda owner: owner["name"])}
        return {key: _stable(item) for key, item in value.items() if key not in VARYING}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        # A document in a ConfigMap.
        return _stable(json.loads(value))
    return value


def differences(found: Any, expected: Any, path: str = "") -> list[str]:
    """Where two normal forms differ, one line for each place."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return [
            line
            for key in sorted(found.keys() | expected.keys())
            for line in differences(found.get(key), expected.get(key), f"{path}/{key}")
        ]
    return [] if found == expected else [f"{path}: {found!r} instead of {expected!r}"]
