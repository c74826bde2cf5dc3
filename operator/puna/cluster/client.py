"""Requests to the API server: get, list, apply, delete. Decides nothing, blocks nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from puna.cluster.connection import Connection
from puna.cluster.errors import (
    ClusterError,
    ConflictError,
    NotFoundError,
    refused,
    unreachable,
)
from puna.cluster.resources import BY_KIND, ResourceType
from puna.core.naming import FIELD_MANAGER
from puna.core.plan import Manifest, ObjectKey
from puna.core.standing import taken_over

REQUEST_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 10.0
LINE_BYTES: Final = 8192
"""Bytes of a log that are read for each line."""
SERVICE_CREATES: Final = 2
"""Services created at once: the API server allots their addresses one after the other, and more
at once take longer in all."""
_APPLY: Final = "application/apply-patch+yaml"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Client:
    """One API server, as one field manager sees it."""

    def __init__(self, connection: Connection, count: Callable[[str, str, str], None]) -> None:
        """Count every request by verb, kind and status code ("unreachable" where none came)."""
        self._connection = connection
        self._count = count
        self._service_creates = asyncio.Semaphore(SERVICE_CREATES)
        self.answered_at = time.monotonic()
        """When the API server last answered anything, on the monotonic clock."""

    async def get(self, resource: ResourceType, namespace: str, name: str) -> Manifest | None:
        """Read one object; None if there is none."""
        try:
            answer: Manifest = await self._request("get", resource, resource.path(namespace, name))
        except NotFoundError:
            return None
        return answer

    async def exists(self, resource: ResourceType, namespace: str, name: str) -> bool:
        """Return whether an object is there, without reading its content."""
        try:
            path = resource.path(namespace, name)
            await self._request("get", resource, path, accept=_METADATA)
        except NotFoundError:
            return False
        return True

    async def metadata(
        self, resource: ResourceType, namespace: str, *, label_selector: str
    ) -> list[Manifest]:
        """Return the metadata of a namespace's objects that a selector matches, as last cached."""
        answer = await self._request(
            "list",
            resource,
            resource.path(namespace),
            params={"labelSelector": label_selector, "resourceVersion": "0"},
            accept=_METADATA_LIST,
        )
        items: list[Manifest] = answer["items"] or []
        return items

    async def apply(self, manifest: Manifest, *, force: bool) -> Manifest:
        """Apply an object and return it as it now is.

        Without `force` it is the first apply of an object that was not seen before, and one that
        somebody else made in the meantime is left as it was.

        Raises:
            ConflictError: somebody else's object has this name.
            ClusterError: the answer is another error, or there is none in time.
        """
        resource, metadata = BY_KIND[manifest["kind"]], manifest["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"])
        if force:
            return await self._apply(resource, path, manifest, force=True)
        if manifest["kind"] == "Service":
            async with self._service_creates:
                live = await self._apply(resource, path, manifest, force=False)
        else:
            live = await self._apply(resource, path, manifest, force=False)
        holder = taken_over(live)
        if holder is not None:
            await self._apply(resource, path, _bare(manifest), force=True)
            message = f"{manifest['kind']} {metadata['name']} was made by {holder}"
            raise ConflictError(code=HTTPStatus.CONFLICT, reason="AlreadyExists", message=message)
        return live

    async def apply_status(
        self, resource: ResourceType, namespace: str, name: str, status: Mapping[str, Any]
    ) -> Manifest:
        """Apply the whole status of a resource and return the resource."""
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"namespace": namespace, "name": name},
            "status": status,
        }
        path = resource.path(namespace, name, "status")
        return await self._apply(resource, path, body, force=True)

    async def create(self, resource: ResourceType, manifest: Manifest) -> None:
        """Create an object that nobody reads back."""
        path = resource.path(manifest["metadata"]["namespace"])
        await self._request(
            "create", resource, path, method="POST", body=manifest, accept=_METADATA
        )

    async def delete(self, key: ObjectKey, uid: str) -> None:
        """Delete this one object and let what it owns follow; one that is gone already is fine."""
        resource = BY_KIND[key.kind]
        body = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        path = resource.path(key.namespace, key.name)
        try:
            await self._request(
                "delete", resource, path, method="DELETE", body=body, accept=_METADATA
            )
        except NotFoundError:
            return

    async def log_tail(
        self, namespace: str, pod: str, container: str, *, lines: int, timeout: float
    ) -> bytes:
        """Return the last lines that a container wrote."""
        resource = BY_KIND["Pod"]
        answer = await self._request(
            "get",
            resource,
            resource.path(namespace, pod, "log"),
            params={
                "container": container,
                "tailLines": str(lines),
                "limitBytes": str(lines * LINE_BYTES),
            },
            timeout=timeout,
            decode=False,
        )
        return bytes(answer)

    async def log_parts(
        self, namespace: str, pod: str, container: str, *, lines: int, size: int, silence: float
    ) -> AsyncIterator[bytes]:
        """Yield the last lines that a container wrote, then what it writes, as it comes.

        It ends with the container, after `size` bytes, or after `silence` seconds without a word.

        Raises:
            ClusterError: the answer is an error, or it broke off.
        """
        resource = BY_KIND["Pod"]
        async with self._answer(
            "get",
            resource,
            resource.path(namespace, pod, "log"),
            params={
                "container": container,
                "follow": "true",
                "tailLines": str(lines),
                "limitBytes": str(size),
            },
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=silence),
        ) as response:
            try:
                async for part in response.content.iter_any():
                    yield part
            except TimeoutError:
                return

    async def _apply(
        self, resource: ResourceType, path: str, manifest: Manifest, *, force: bool
    ) -> Manifest:
        params = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        answer: Manifest = await self._request(
            "patch",
            resource,
            path,
            method="PATCH",
            params=params,
            body=manifest,
            content_type=_APPLY,
        )
        return answer

    async def _request(
        self,
        verb: str,
        resource: ResourceType,
        path: str,
        *,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = REQUEST_SECONDS,
        decode: bool = True,
    ) -> Any:
        """Send one request and return its answer's JSON, or its bytes.

        Raises:
            ClusterError: the answer is an error, or there is none in time.
        """
        async with self._answer(
            verb,
            resource,
            path,
            method=method,
            params=params,
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            answer = await response.read()
        return orjson.loads(answer) if decode else answer

    @asynccontextmanager
    async def _answer(
        self,
        verb: str,
        resource: ResourceType,
        path: str,
        *,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and give its answer, which is no error; count it in the end.

        Raises:
            ClusterError: the answer is an error, or it did not come or broke off.
        """
        headers = await self._connection.headers() | {"Accept": accept}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = orjson.dumps(body)
        code = "unreachable"
        try:
            async with self._connection.session.request(
                method,
                self._connection.host + path,
                params=params,
                data=data,
                headers=headers,
                timeout=timeout,
                server_hostname=self._connection.server_name,
                proxy=self._connection.proxy,
            ) as response:
                if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    answer = await response.read()
                    code = str(response.status)
                    self.answered_at = time.monotonic()
                    raise refused(response.status, answer, response.headers)
                yield response
                code = str(response.status)
                self.answered_at = time.monotonic()
        except ClusterError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(error) from error
        finally:
            self._count(verb, resource.kind, code)


def _bare(manifest: Manifest) -> Manifest:
    """Return an object without anything of ours: applied, it takes all our fields away again."""
    metadata = manifest["metadata"]
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
    }
