"""The Secret that every llama-server of a namespace requires of its callers."""

from __future__ import annotations

from base64 import b64encode

from puna.core.naming import BACKEND_KEY_MEMBER, BACKEND_KEY_NAME
from puna.core.plan import Manifest
from puna.namespace.anchor import router_labels


def build_backend_key(namespace: str, *, existing: Manifest | None, fresh_key: str) -> Manifest:
    """Return the Secret with the key it has, or with a fresh one."""
    member = (existing or {}).get("data", {}).get(BACKEND_KEY_MEMBER)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": BACKEND_KEY_NAME, "namespace": namespace, "labels": router_labels()},
        "type": "Opaque",
        "data": {BACKEND_KEY_MEMBER: member or b64encode(fresh_key.encode()).decode()},
    }
