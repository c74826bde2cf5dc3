"""Names, labels, annotations and digests: one function for each idea."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from puna_router.config import LABEL_ENDPOINT as LABEL_ENDPOINT
from puna_router.config import LABEL_POOL as LABEL_POOL
from puna_router.config import LABEL_PROCESS as LABEL_PROCESS

FIELD_MANAGER: Final = "puna"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
COMPONENT: Final = "app.kubernetes.io/component"
INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_REVISION: Final = "puna.dev/revision"
"""Revision (8 hex digits) of a ControllerRevision."""
LABEL_ROLE: Final = "puna.dev/role"
"""Part that a ControllerRevision plays: stable, candidate or retired."""
LABEL_PROVEN: Final = "puna.dev/proven"
"""Value "true" on a ControllerRevision that has served once."""
LABEL_OUTCOME: Final = "puna.dev/outcome"
"""How the canary of a ControllerRevision ended that did not take over: aborted or failed."""
ANNOTATION_PROMOTE: Final = "puna.dev/promote"
"""On an LLMEndpoint: the revision that is to take over."""
ANNOTATION_ABORT: Final = "puna.dev/abort"
"""On an LLMEndpoint: the revision that is to get no more requests."""
ANNOTATION_RETRY: Final = "puna.dev/retry"
"""On an LLMEndpoint: the revision whose canary is to begin again, though it was aborted or failed.
On a TrainingJob that failed: any value that it did not have before lets it run again."""
ANNOTATION_ROLLBACK: Final = "puna.dev/rollback"
"""On an LLMEndpoint: the revision that is to serve, and the one that it serves instead of."""
LABEL_TRAINING_JOB: Final = "puna.dev/training-job"
"""Name of the TrainingJob that an object belongs to."""
LABEL_RUN: Final = "puna.dev/run"
"""Number of the Job that a TrainingJob's object belongs to."""
ANNOTATION_CONFIG_DIGEST: Final = "puna.dev/config-digest"

COMPONENT_MODEL: Final = "llama-server"
COMPONENT_ROUTER: Final = "router"
COMPONENT_TRAINER: Final = "trainer"
COMPONENT_OPERATOR: Final = "operator"
ROUTER_NAME: Final = "puna-router"
"""Name of every shared object of a namespace's router."""
ROUTER_SECRETS_NAME: Final = "puna-router-secrets"
"""Name of the Role and RoleBinding that let a router read the Secrets which endpoints name."""
BACKENDS_NAME: Final = "puna-backends"
"""Name of the NetworkPolicy in front of the llama-server Pods."""
BACKEND_KEY_NAME: Final = "puna-backend-key"
"""Name of the Secret whose member `key` every llama-server of the namespace requires."""
BACKEND_KEY_MEMBER: Final = "key"
BACKEND_KEY_DIGEST: Final = "puna.dev/backend-key-digest"
"""Annotation of Pods: servers read their key once, routers late; another key rolls both."""

MAX_NAME: Final = 63
HASH_LENGTH: Final = 8
FIRST_PORT: Final = 20_000
PORT_COUNT: Final = 10_000


def digest8(value: Any) -> str:
    """Return the first 8 hex digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def child_name(*parts: str) -> str:
    """Join parts by '-' to a name of at most 63 characters; a longer one ends in a digest.

    Parts that contain '-' could collide once joined ("a-b"+"c", "a"+"b-c"): wherever that can
    happen, the callers' last part is a digest over all of them.
    """
    name = "-".join(parts)
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - HASH_LENGTH - 1].rstrip('-')}-{digest8(parts)}"


def endpoint_port(namespace: str, name: str) -> int:
    """Return the port of an endpoint's llama-servers: 20000-29999, by its namespace and name."""
    digest = sha256(f"{namespace}/{name}".encode()).digest()
    return FIRST_PORT + int.from_bytes(digest[:4], "big") % PORT_COUNT


def labels(
    *, instance: str, component: str, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the labels that every child carries."""
    return {
        "app.kubernetes.io/name": "puna",
        INSTANCE: instance,
        COMPONENT: component,
        "app.kubernetes.io/part-of": "puna",
        MANAGED_BY: FIELD_MANAGER,
    } | dict(extra or {})


def endpoint_labels(
    endpoint: str, component: str, *, pool: str | None = None, process: str | None = None
) -> dict[str, str]:
    """Return the labels of a child of one endpoint."""
    extra = {LABEL_ENDPOINT: endpoint}
    if pool is not None:
        extra[LABEL_POOL] = pool
    if process is not None:
        extra[LABEL_PROCESS] = process
    return labels(instance=endpoint, component=component, extra=extra)


def training_labels(job: str, run: int) -> dict[str, str]:
    """Return the labels of a child of one TrainingJob."""
    return labels(
        instance=job,
        component=COMPONENT_TRAINER,
        extra={LABEL_TRAINING_JOB: job, LABEL_RUN: str(run)},
    )
