"""Raw JSON to and from an API server, for benchmarks: cheap enough not to be what is measured."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from puna_cli.cluster.identities import CLUSTER_CA
from tests.cluster import ApiServer

CLIENT_ERROR = 300


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API server is and who asks; travels to other processes."""

    server: str
    authority: str
    certificate: str
    key: str

    @classmethod
    def of(cls, plane: ApiServer) -> Address:
        """The administrator's address of a control plane."""
        paths = plane.paths
        return cls(
            plane.server,
            str(paths.certificate(CLUSTER_CA)),
            str(paths.certificate("admin")),
            str(paths.key("admin")),
        )

    def connect(self) -> http.client.HTTPSConnection:
        """A new connection."""
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(self.certificate, self.key)
        parts = urlsplit(self.server)
        assert parts.hostname is not None
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=60, context=context)


@dataclass(slots=True)
class RawApi:
    """Requests over one connection for each thread."""

    address: Address
    _local: threading.local = field(default_factory=threading.local)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        allowed: Collection[int] = (),
    ) -> Any:
        """Answer of one request; raises RuntimeError for an error that is not allowed."""
        payload = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            response, answer = self._send(method, path, payload, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server has closed what was idle for long; the next connection is a new one.
            self._local.connection = self.address.connect()
            response, answer = self._send(method, path, payload, headers)
        if response.status >= CLIENT_ERROR and response.status not in allowed:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return json.loads(answer)

    def _send(
        self, method: str, path: str, payload: str | None, headers: dict[str, str]
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self.address.connect()
        connection.request(method, path, payload, headers)
        response: http.client.HTTPResponse = connection.getresponse()
        return response, response.read()

    def watch(self, path: str, version: str) -> Iterator[Any]:
        """Events after a version, until the server ends the watch."""
        connection = self.address.connect()
        connection.timeout = 600
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        connection.request("GET", f"{path}?{urlencode(query)}")
        response = connection.getresponse()
        while line := response.readline():
            yield json.loads(line)
