"""The agent's Kubernetes client: the few requests that a node makes. All Kubernetes I/O is here.

Written on aiohttp because the `kubernetes` package takes a second and 20 MB to import, on a host
whose memory belongs to models.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from puna_node.kubeconfig import Access
from puna_node.manifest import Manifest, PodKey

REQUEST_SECONDS: Final = 15.0
WATCH_SECONDS: Final = 240
"""The server ends a watch after this long."""
STALL_SECONDS: Final = 90.0
"""Longest silence of a watch: a bookmark comes about every minute."""
GRAPH_SECONDS: Final = 2.0
"""Longest time in which the server's authorizer learns what a Pod just bound to a node names."""
GRAPH_PAUSE: Final = 0.02
UNRELATED: Final = "no relationship found"
FORBIDDEN: Final = 403
GONE: Final = 410
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422
LIST_CHUNK: Final = 500
STRATEGIC: Final = "application/strategic-merge-patch+json"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ApiUnreachableError(Exception):
    """The API server did not answer."""


@dataclass(frozen=True, slots=True)
class PodEvent:
    """A change of a Pod of this node."""

    kind: str
    """ADDED, MODIFIED or DELETED."""
    pod: Manifest


@dataclass(frozen=True, slots=True)
class PodList:
    """All Pods of this node; what is not in it is gone."""

    pods: tuple[Manifest, ...]


class Api:
    """Requests as this node's user."""

    def __init__(self, access: Access) -> None:
        self._access = access
        headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        connector = aiohttp.TCPConnector(ssl=access.tls or True, limit=64, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=headers, skip_auto_headers=("User-Agent",)
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def server_version(self) -> Manifest:
        """Version of the API server."""
        return await self._request("GET", "/version")

    # Node

    async def create_node(self, node: Manifest) -> Manifest:
        """Register the node."""
        return await self._request("POST", "/api/v1/nodes", body=node)

    async def get_node(self, name: str) -> Manifest:
        """Read the node."""
        return await self._request("GET", f"/api/v1/nodes/{name}")

    async def patch_node(self, name: str, patch: Manifest, *, status: bool) -> Manifest:
        """Change the node or its status."""
        path = f"/api/v1/nodes/{name}" + ("/status" if status else "")
        return await self._request("PATCH", path, body=patch, content_type=STRATEGIC)

    async def put_lease(self, lease: Manifest) -> None:
        """Renew the node's lease, creating it where there is none."""
        name = lease["metadata"]["name"]
        try:
            await self._request("PATCH", f"{LEASES}/{name}", body=lease, content_type=STRATEGIC)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            await self._request("POST", LEASES, body=lease)

    # Pods

    async def watch_pods(self, node: str) -> AsyncIterator[PodList | PodEvent]:
        """All Pods of a node, then their changes, until the watch breaks.

        Raises:
            ApiError, ApiUnreachableError: the caller begins anew.
        """
        selector = {"fieldSelector": f"spec.nodeName={node}"}
        listed = await self._request("GET", "/api/v1/pods", params=selector)
        yield PodList(tuple(listed.get("items") or ()))
        version = listed["metadata"]["resourceVersion"]
        while True:
            parameters = {
                **selector,
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": str(WATCH_SECONDS),
            }
            async for event in self._watch("/api/v1/pods", parameters):
                kind, subject = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(
                        int(subject.get("code", GONE)),
                        str(subject.get("reason", "")),
                        str(subject.get("message", "")),
                    )
                version = subject["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    yield PodEvent(kind, subject)

    async def patch_pod_status(self, key: PodKey, patch: Manifest) -> Manifest:
        """Change the status of a Pod."""
        path = f"/api/v1/namespaces/{key.namespace}/pods/{key.name}/status"
        return await self._request("PATCH", path, body=patch, content_type=STRATEGIC)

    async def delete_pod(self, key: PodKey) -> None:
        """Remove the object of a Pod that has ended; one re-created under the name stays."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": key.uid},
        }
        path = f"/api/v1/namespaces/{key.namespace}/pods/{key.name}"
        try:
            await self._request("DELETE", path, body=body)
        except ApiError as error:
            if error.status not in {NOT_FOUND, CONFLICT}:
                raise

    async def get_source(self, namespace: str, kind: str, name: str) -> Manifest | None:
        """ConfigMap or Secret (`kind` in lower case); None if it does not exist."""
        try:
            found = await self._related("GET", f"/api/v1/namespaces/{namespace}/{kind}s/{name}")
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return {"kind": "Secret" if kind == "secret" else "ConfigMap", **found}

    async def request_token(
        self, key: PodKey, service_account: str, *, audience: str, seconds: int
    ) -> tuple[str, str]:
        """Token of a service account bound to a Pod, and when it expires."""
        body = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": key.name,
                    "uid": key.uid,
                },
            },
        }
        path = f"/api/v1/namespaces/{key.namespace}/serviceaccounts/{service_account}/token"
        answer = await self._related("POST", path, body=body)
        return str(answer["status"]["token"]), str(answer["status"]["expirationTimestamp"])

    async def create_event(self, namespace: str, event: Manifest) -> Manifest:
        """Record an Event."""
        return await self._request("POST", f"/api/v1/namespaces/{namespace}/events", body=event)

    async def patch_event(self, namespace: str, name: str, patch: Manifest) -> None:
        """Count an Event once more."""
        path = f"/api/v1/namespaces/{namespace}/events/{name}"
        await self._request("PATCH", path, body=patch, content_type=STRATEGIC)

    async def is_allowed(self, review: Manifest) -> bool:
        """Answer of a SubjectAccessReview."""
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await self._request("POST", path, body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _related(self, method: str, path: str, *, body: Manifest | None = None) -> Manifest:
        """Request for what a Pod of this node names.

        The authorizer follows a watch of its own: for some milliseconds after the Pod was bound it
        may know less than this agent does.
        """
        deadline = time.monotonic() + GRAPH_SECONDS
        pause = GRAPH_PAUSE
        while True:
            try:
                return await self._request(method, path, body=body)
            except ApiError as error:
                unrelated = error.status == FORBIDDEN and UNRELATED in error.message
                if not unrelated or time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause *= 2

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        try:
            async with self._session.request(
                method,
                self._access.server + path,
                params=params,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": content_type, "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnreachableError(
                f"{method} {path}: {error or type(error).__name__}"
            ) from error
        return _document(response.status, text)

    async def _watch(self, path: str, params: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=None, sock_read=STALL_SECONDS)
        try:
            async with self._session.get(
                self._access.server + path, params=params, timeout=timeout
            ) as response:
                if response.status != 200:  # noqa: PLR2004
                    _document(response.status, await response.text())
                rest = b""
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        if line:
                            yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ApiUnreachableError(
                f"watch of {path}: {error or type(error).__name__}"
            ) from error


def _document(status: int, text: str) -> Manifest:
    """Body of an answer.

    Raises:
        ApiError: the server refused.
    """
    try:
        document: Manifest = json.loads(text)
    except ValueError:
        document = {"message": text[:500]}
    if status >= 400:  # noqa: PLR2004
        raise ApiError(status, str(document.get("reason", "")), str(document.get("message", text)))
    return document
