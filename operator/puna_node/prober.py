"""Running one probe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Sequence
from typing import Final

import aiohttp

from puna_node.expand import expand
from puna_node.launch import Launch
from puna_node.manifest import Manifest
from puna_node.mounts import rewrite

AGENT: Final = "kube-probe/1.36"
OUTPUT_BYTES: Final = 10240
HTTP_OK: Final = range(200, 400)


class ProbeFailure(Exception):  # noqa: N818 - an outcome, not a fault
    """A probe did not succeed; its text says why."""


async def run_probe(
    probe: Manifest,
    *,
    container: Manifest,
    launch: Launch,
    address: str,
    seconds: float,
    user: int | None,
) -> None:
    """Run a probe once; a command as the user of the processes.

    Raises:
        ProbeFailure: it failed or took too long.
    """
    try:
        async with asyncio.timeout(seconds):
            if "httpGet" in probe:
                await http_get(probe["httpGet"], container, address)
            elif "tcpSocket" in probe:
                await _tcp(probe["tcpSocket"], container, address)
            else:
                await _execute(probe["exec"].get("command") or (), launch, user)
    except TimeoutError:
        raise ProbeFailure(f"timed out after {seconds:g} s") from None


def port_number(port: int | str, container: Manifest) -> int:
    """Number of a port given by number or name.

    Raises:
        ProbeFailure: the container has no port of that name.
    """
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ProbeFailure(f"the container has no port named {port}")


async def http_get(action: Manifest, container: Manifest, address: str) -> None:
    """Ask once over HTTP; 200 to 399 is success.

    Raises:
        ProbeFailure: any other answer, or none.
    """
    scheme = str(action.get("scheme") or "HTTP").lower()
    host = action.get("host") or address
    path = action.get("path") or "/"
    port = port_number(action["port"], container)
    headers = {"User-Agent": AGENT, "Accept": "*/*"}
    headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or ()}
    # As the kubelet: the certificate of the container itself is not checked.
    tls: ssl.SSLContext | bool = _unchecked() if scheme == "https" else True
    url = f"{scheme}://{host}:{port}/{path.lstrip('/')}"
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, force_close=True)) as s,
            s.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = (await response.content.read(OUTPUT_BYTES))[:200]
    except (aiohttp.ClientError, OSError) as error:
        raise ProbeFailure(f'Get "{url}": {error}') from error
    if response.status not in HTTP_OK:
        text = body.decode(errors="replace")
        raise ProbeFailure(f"HTTP probe failed with statuscode: {response.status} {text}".strip())


async def _tcp(action: Manifest, container: Manifest, address: str) -> None:
    host, port = action.get("host") or address, port_number(action["port"], container)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise ProbeFailure(f"dial tcp {host}:{port}: {error}") from error
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _execute(command: Sequence[str], launch: Launch, user: int | None) -> None:
    arguments = [expand(rewrite(text, launch.mounts), launch.environment) for text in command]
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(launch.environment),
            cwd=launch.directory,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
    except OSError as error:
        raise ProbeFailure(f"{arguments[0]}: {error.strerror}") from error
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        text = output[:OUTPUT_BYTES].decode(errors="replace").strip()
        raise ProbeFailure(f"command exited with {process.returncode}: {text}")


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
