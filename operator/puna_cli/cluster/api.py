"""Requests to the API server of a local cluster, as one of its users."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Self

import httpx

from puna_cli.cluster.identities import CLUSTER_CA
from puna_cli.paths import ClusterPaths


class LocalApi:
    """Reads objects; trusts only the cluster's own authority: no foreign server can answer."""

    def __init__(self, paths: ClusterPaths, server: str, user: str = "admin") -> None:
        context = ssl.create_default_context(cafile=str(paths.certificate(CLUSTER_CA)))
        context.load_cert_chain(paths.certificate(user), paths.key(user))
        self._client = httpx.Client(base_url=server, verify=context, timeout=5, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def is_ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self._client.get("/readyz", timeout=2).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def foreign_server(self) -> str | None:
        """Why the answering server is not this cluster's; None if it is, or none answers."""
        try:
            self._client.get("/livez", timeout=2)
        except httpx.ConnectError as error:
            if isinstance(_root(error), ssl.SSLError):
                return str(error)
        except httpx.TransportError:
            pass
        return None

    def get(self, path: str, *, limit: int | None = None) -> dict[str, Any] | None:
        """An object or list; None where there is none (yet), also while the server starts.

        Raises:
            httpx.HTTPStatusError: the server refused the request.
        """
        try:
            answer = self._client.get(path, params={} if limit is None else {"limit": limit})
        except httpx.TransportError:
            return None
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.TOO_MANY_REQUESTS):
            return None
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def delete_at_once(self, path: str) -> None:
        """Delete an object without a grace period; one that is gone already is fine.

        Raises:
            httpx.HTTPError: the server cannot be reached, or refuses.
        """
        answer = self._client.delete(path, params={"gracePeriodSeconds": 0})
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()


def _root(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
