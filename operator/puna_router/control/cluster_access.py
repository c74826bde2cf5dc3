"""Where the Kubernetes API server is, and with what it is asked.

aiohttp is used as it is, rather than the `kubernetes` package: two watches need no models of all
kinds, whose import costs half a second and 20 MiB at each start of a router.
"""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

SERVICE_ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"


class AccessError(Exception):
    """The API server cannot be reached with what is given."""


@dataclass(frozen=True, slots=True)
class Access:
    """An API server and the means to speak to it."""

    server: str
    """URL without a slash at its end."""
    tls: ssl.SSLContext | None
    token: str | None = None
    token_file: Path | None = None
    """Read anew for each request, since the token in it is replaced before it expires."""

    def headers(self) -> dict[str, str]:
        """Headers of a request made now.

        Raises:
            OSError: The token file cannot be read.
        """
        token = self.token_file.read_text("utf-8").strip() if self.token_file else self.token
        return {"authorization": f"Bearer {token}"} if token else {}


def from_service_account(directory: Path, environment: Mapping[str, str]) -> Access:
    """Access as a Pod has it.

    Raises:
        AccessError: The environment names no API server, or the folder holds no certificate.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise AccessError("KUBERNETES_SERVICE_HOST is not set: run in a Pod, or give --kubeconfig")
    authority = directory / "ca.crt"
    token = directory / "token"
    for path in (authority, token):
        if not path.exists():
            raise AccessError(f"{path} is missing: --service-account-directory names no account")
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        tls=ssl.create_default_context(cafile=str(authority)),
        token_file=token,
    )


def from_kubeconfig(path: Path) -> Access:
    """Access as the current context of a kubeconfig file gives it: by certificate or token.

    Raises:
        AccessError: The file holds no current context, or one that needs another way to sign in.
    """
    document = yaml.safe_load(path.read_text("utf-8"))
    try:
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        server = str(cluster["server"]).rstrip("/")
    except (KeyError, TypeError) as error:
        raise AccessError(f"{path}: no usable current context ({error!r})") from error
    token_file = user.get("tokenFile")
    return Access(
        server=server,
        tls=_tls(path.parent, cluster, user) if server.startswith("https:") else None,
        token=user.get("token"),
        token_file=Path(token_file) if token_file else None,
    )


def _named(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(name)


def _tls(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=_path(folder, cluster.get("certificate-authority")),
        cadata=_data(cluster.get("certificate-authority-data")),
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "client-certificate" in user:
        certificate, key = (
            _path(folder, user[f"client-{part}"]) for part in ("certificate", "key")
        )
        context.load_cert_chain(str(certificate), key)
    elif "client-certificate-data" in user:
        # The ssl module reads certificates from files only.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            for part in ("client-certificate-data", "client-key-data"):
                file.write(f"{_data(user[part])}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _path(folder: Path, name: str | None) -> str | None:
    return os.fspath(folder / name) if name else None


def _data(encoded: str | None) -> str | None:
    return base64.b64decode(encoded).decode() if encoded else None
