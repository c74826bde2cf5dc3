"""Kubeconfig documents. Pure."""

from __future__ import annotations

from base64 import b64encode

import yaml


def kubeconfig(
    *, name: str, server: str, user: str, authority: bytes, certificate: bytes, key: bytes
) -> str:
    """A kubeconfig (YAML) with one context; certificates are embedded: the file can be moved."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": _data(authority)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _data(certificate),
                        "client-key-data": _data(key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        },
        sort_keys=False,
    )


def _data(content: bytes) -> str:
    return b64encode(content).decode()
