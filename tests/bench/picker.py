"""CPU of the picker for each request, its own gRPC server against grpc.aio; and its start.

`python -m tests.bench.picker serve own|reference SOCKET` is one of the two, deciding nothing.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import cast

import psutil
import uvloop

from puna_router.picker import frames
from puna_router.picker.config import CONFIG_FILE, SOCKET, PickerConfig, PickerEndpoint, PickerHost
from puna_router.picker.endpoint import Endpoint, Request, Ticket
from puna_router.picker.processor import Processor
from puna_router.picker.scheduler import Decision, Pick, Scheduler
from puna_router.picker.server import Calls, unix_listener
from tests import ext_proc
from tests.bench.report import Figure, report
from tests.ports import free_port
from tests.router.grpc_picker import ReferencePicker, serve

AT_ONCE = 32
"""Calls under way on the one connection."""
ROUNDS = 3
REQUESTS = {"own": 20_000, "reference": 4_000, "picker": 20_000}
WARM_UP = 500
STARTS = 9
HOSTS = 4
LONGEST = 120
"""Seconds after which something hangs."""
# The headers that Envoy is told to forward, and a prompt of four parts.
MESSAGE = ext_proc.slot_request(
    "chat-a",
    **{
        "x-request-id": "0b8f5c3e-5a4f-4b7e-9d1c-0123456789ab",
        "x-puna-client": "alice",
        "x-puna-affinity": "00a1b2c3d4e5f607",
        "x-puna-prefix": ",".join(f"00a1b2c3d4e5f6{at:02x}:{1000 * at + 1000}" for at in range(4)),
    },
)


class NoDecisions(Scheduler):
    """Sends everybody to the same server and counts nothing: what is left is the transport."""

    _endpoint_of_all = Endpoint("chat", PickerEndpoint(("chat-a",)))

    def arrive(self, request: Request, now: float, wall: float) -> tuple[Ticket, list[Decision]]:
        del wall
        ticket = Ticket(request, self._endpoint_of_all, now)
        return ticket, [Decision(ticket, Pick("127.0.0.1:8080"))]

    def leave(self, ticket: Ticket, now: float) -> list[Decision]:
        del ticket, now
        return []


class Load(asyncio.Protocol):
    """Envoy's side of one connection: as soon as a call is answered it ends, and another begins."""

    def __init__(self, requests: int) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._left = requests
        self._under_way = 0
        self._stream = -1
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        greeting = ext_proc.HELLO + frames.window_update(0, 1 << 30)
        self._transport.write(greeting + b"".join(self._begin() for _ in range(AT_ONCE)))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        offset, output = 0, []
        while len(data) - offset >= frames.HEAD_SIZE:
            high, low, kind, flags, stream = frames.HEAD.unpack_from(data, offset)
            end = offset + frames.HEAD_SIZE + (high << 8 | low)
            if end > len(data):
                break
            if kind == frames.DATA:
                output.append(ext_proc.end(stream))
            elif kind == frames.HEADERS and flags & frames.END_STREAM:
                self._under_way -= 1
                output.append(self._begin())
            elif kind == frames.PING and not flags & frames.ACK:
                ping = data[offset + frames.HEAD_SIZE : end]
                output.append(frames.frame(frames.PING, frames.ACK, 0, ping))
            elif kind == frames.SETTINGS and not flags & frames.ACK:
                output.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
            offset = end
        self._rest = data[offset:]
        self._transport.write(b"".join(output))
        if not self._left and not self._under_way and not self.done.done():
            self.done.set_result(None)

    def _begin(self) -> bytes:
        if not self._left:
            return b""
        self._left -= 1
        self._under_way += 1
        self._stream += 2
        return ext_proc.begin(self._stream, MESSAGE)


async def drive(path: Path, requests: int) -> None:
    """Make calls, a few at once."""
    loop = asyncio.get_running_loop()
    transport, load = await loop.create_unix_connection(lambda: Load(requests), str(path))
    await asyncio.wait_for(load.done, LONGEST)
    transport.close()


def cpu_of_each(process: psutil.Process, path: Path, requests: int) -> float:
    """CPU of the server for each of some requests, in microseconds."""
    uvloop.run(drive(path, WARM_UP))
    before = process.cpu_times()
    uvloop.run(drive(path, requests))
    after = process.cpu_times()
    spent = (after.user - before.user) + (after.system - before.system)
    return spent / requests * 1e6


@contextmanager
def started(
    command: list[str], path: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[psutil.Process]:
    """A server, from when it listens."""
    child = subprocess.Popen([sys.executable, "-m", *command], env=environment)
    try:
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(20)


def command_of(name: str, folder: Path) -> tuple[list[str], Path]:
    """How a server is started, and where it listens."""
    if name != "picker":
        path = folder / f"{name}.sock"
        return ["tests.bench.picker", "serve", name, str(path)], path
    hosts = tuple(
        PickerHost(f"10.0.0.{number}:8080", AT_ONCE, ("chat-a",)) for number in range(HOSTS)
    )
    document = PickerConfig({"chat": PickerEndpoint(("chat-a",), hosts)})
    (folder / CONFIG_FILE).write_text(document.to_json())
    pages = ("--listen", "127.0.0.1", "--port", str(free_port()))
    return ["puna_router", "picker", "--directory", str(folder), *pages], folder / SOCKET


def measured(name: str) -> float:
    """CPU of one server for each request, in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        command, path = command_of(name, Path(folder))
        with started(command, path) as process:
            return cpu_of_each(process, path, REQUESTS[name])


def start_seconds() -> float:
    """Time from the start of the picker until it listens, besides that of the interpreter.

    Its modules are compiled, as they are in its image: the first start compiles them.
    """
    took = []
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(STARTS + 1):
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", ""], check=True, env=environment)
            bare = time.monotonic() - began
            with tempfile.TemporaryDirectory() as folder:
                command, path = command_of("picker", Path(folder))
                began = time.monotonic()
                with started(command, path, environment):
                    took.append(time.monotonic() - began - bare)
    return median(took[1:])


async def serve_own(path: Path) -> None:
    """The picker's own server without decisions."""
    calls = Calls(Processor(NoDecisions()))
    listener = unix_listener(path)
    server = await asyncio.get_running_loop().create_unix_server(calls.protocol, sock=listener)
    await server.serve_forever()


async def serve_reference(path: Path) -> None:
    """grpc.aio without decisions."""
    server = await serve(str(path), ReferencePicker(NoDecisions()))
    await server.wait_for_termination()


def main() -> int:
    """Measure and report."""
    rounds = [{name: measured(name) for name in REQUESTS} for _ in range(ROUNDS)]
    figures = {name: median(found[name] for found in rounds) for name in REQUESTS}
    return report(
        "picker",
        [
            Figure(
                "CPU of the transport for a request, against grpc.aio",
                figures["own"],
                "us",
                anchor=figures["reference"],
                goal=1 / 15,
            ),
            Figure("CPU of the whole picker for a request", figures["picker"], "us"),
            Figure("start besides the interpreter's", start_seconds() * 1000, "ms", goal=60),
        ],
        {"rounds": rounds},
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        server = {"own": serve_own, "reference": serve_reference}[sys.argv[2]]
        uvloop.run(server(Path(sys.argv[3])))
    sys.exit(main())
