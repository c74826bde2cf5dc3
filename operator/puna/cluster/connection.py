"""Connection to the API server: where it is, who we are, and one HTTP session to it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from puna import __version__
from puna.cluster.lean_kubernetes import (
    ConfigException,
    Configuration,
    load_incluster_config,
    load_kube_config,
    refresh_token,
)

READ_BUFFER: Final = 1 << 18
FOLLOWED: Final = 256
"""Logs followed at once, of model fetches and of training each; more are read at intervals."""
CONNECTIONS: Final = 64 + 2 * FOLLOWED
"""Watches and followed logs hold one each; the rest is for requests."""
BEARER: Final = "BearerToken"


class CredentialsError(Exception):
    """There are no usable credentials; the message says where they were looked for."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open session to one API server."""

    session: aiohttp.ClientSession
    configuration: Any
    proxy: str | None
    """Proxy on the way, if there is one."""

    @property
    def host(self) -> str:
        """Base url of the API server."""
        return str(self.configuration.host)

    @property
    def server_name(self) -> str | None:
        """Name that the server's certificate is checked for, if not the host's."""
        return self.configuration.tls_server_name or None

    async def headers(self) -> dict[str, str]:
        """Return who we are, with a token that has not expired."""
        token = await self.configuration.get_api_key_with_prefix(BEARER)
        return {"Authorization": token} if token else {}


@asynccontextmanager
async def connect(kubeconfig: Path | None) -> AsyncIterator[Connection]:
    """Open a session with the credentials of a file, of KUBECONFIG, of the Pod or of the user.

    Raises:
        CredentialsError: there are none, or they cannot be read.
    """
    configuration = Configuration()
    renewal: asyncio.Task[None] | None = None
    path = kubeconfig or _default_kubeconfig()
    try:
        if path is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(path), client_configuration=configuration, persist_config=False
            )
            renewal = asyncio.create_task(
                refresh_token(loader, configuration)  # type: ignore[no-untyped-call]
            )
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=_tls(configuration))
    except (ConfigException, OSError, ValueError, TypeError, AttributeError) as error:
        where = "this Pod's service account" if path is None else str(path)
        raise CredentialsError(f"{where}: {error}") from error
    try:
        async with aiohttp.ClientSession(
            connector=connector,
            read_bufsize=READ_BUFFER,
            headers={
                "Accept": "application/json",
                # The API server is near: to compress lists takes both longer than to send them.
                "Accept-Encoding": "identity",
                "User-Agent": f"puna/{__version__}",
            },
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            proxy = configuration.proxy or _environment_proxy(configuration.host)
            yield Connection(session, configuration, proxy)
    finally:
        if renewal is not None:
            renewal.cancel()
            with suppress(asyncio.CancelledError):
                await renewal


def _default_kubeconfig() -> Path | None:
    """Return the file that kubectl would take; None inside a Pod."""
    if named := os.environ.get("KUBECONFIG"):
        return Path(named)
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return None
    return Path.home() / ".kube" / "config"


def _environment_proxy(url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name; asked once, not with every request."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _tls(configuration: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data
    )
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
