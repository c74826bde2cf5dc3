"""A small raw HTTP server that stands for llama-server: it records requests and answers as told."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from puna_router.config import Backend

T = TypeVar("T")
PROCESS = "0123abcd"
_ENDS = b"connection: close"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def ends_connection(self) -> bool:
        return self.header("connection") == "close"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Recorded], AsyncIterator[bytes]]
"""Raw bytes of a response, head included."""


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def document(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    fixed = {"content_type": "application/json", **headers}
    return head(status, **fixed, content_length=str(len(body))) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def echo(request: Recorded) -> AsyncIterator[bytes]:
    """The body back, byte for byte."""
    yield document(request.body)


class Gate:
    """What answers wait for until a test opens it: so it knows what happened meanwhile."""

    def __init__(self) -> None:
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    async def passed(self) -> None:
        while not self._opened.is_set():  # noqa: ASYNC110 - the test is in another thread
            await asyncio.sleep(0.01)

    async def answer(self, _: Recorded) -> AsyncIterator[bytes]:
        """A document once it is open."""
        await self.passed()
        yield document(b"{}")


def stream(events: int, pause: float, gate: Gate | None = None) -> Answer:
    """An SSE stream like llama-server's, whose last event waits for a gate."""

    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        yield head(content_type="text/event-stream", transfer_encoding="chunked")
        for number in range(events):
            if gate is not None and number == events - 1:
                await gate.passed()
            yield chunk(f'data: {{"token":{number}}}\n\n'.encode())
            await asyncio.sleep(pause)
        timings = {"prompt_n": 3, "cache_n": 1, "predicted_n": events}
        yield chunk(f"data: {json.dumps({'timings': timings})}\n\n".encode())
        yield chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    return answer


@dataclass
class Stub:
    """One server; its methods are called from the test's thread."""

    loop: asyncio.AbstractEventLoop
    answer: Answer = echo
    health: int = 200
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Recorded] = field(default_factory=list)
    active: int = 0
    """Requests under way, without health checks."""
    peak: int = 0
    """Most of them at once."""
    checks: int = 0
    checked_at: list[float] = field(default_factory=list)
    """When there were health checks, on the monotonic clock."""
    checks_before_last: int = 0
    """Health checks before the newest request."""
    check: Recorded | None = None
    """The newest health check."""
    _listener: socket.socket | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def start(self) -> None:
        self._call(self._start())

    def kill(self) -> None:
        """Reset every connection and refuse new ones, as a killed process does."""
        self._call(self._kill())

    def backend(self, process: str = PROCESS) -> dict[str, Any]:
        found = Backend(address=self.host, port=self.port, process=process)
        return found.model_dump(by_alias=True, exclude_none=True)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _start(self) -> None:
        # Accepts by itself: what asyncio offers may lose a connection when it is told to stop.
        self._listener = socket.create_server((self.host, self.port), backlog=1024)
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]
        self.loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                task = self.loop.create_task(self._take(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _take(self, connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=1 << 26)
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self.tls
            )
        except (ssl.SSLError, ConnectionError):
            return
        await self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def _kill(self) -> None:
        if self._listener is not None:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; says whether another may follow on the connection."""
        request = await read_request(reader)
        if request.path == "/health":
            self.checks += 1
            self.checked_at.append(time.monotonic())
            self.check = request
            writer.write(document(b"{}", status=f"{self.health} X"))
            ends = request.ends_connection
        else:
            ends = await self._answer(request, writer)
        await writer.drain()
        return not ends

    async def _answer(self, request: Recorded, writer: asyncio.StreamWriter) -> bool:
        """Send an answer; says whether it ends with the connection."""
        self.requests.append(request)
        self.checks_before_last = self.checks
        self.active += 1
        self.peak = max(self.peak, self.active)
        ends, begun = request.ends_connection, False
        try:
            async for part in self.answer(request):
                ends = ends or _ENDS in part[:1000]
                # Like llama-server. Whoever only ends it may be sent another request meanwhile.
                writer.write(part if begun or not ends else _announced(part))
                begun = True
                await writer.drain()
        finally:
            self.active -= 1
        return ends


def _announced(part: bytes) -> bytes:
    """The first part of an answer, which says that its connection ends."""
    if _ENDS in part[:1000]:
        return part
    status, rest = part.split(b"\r\n", 1)
    return b"\r\n".join((status, _ENDS, rest))


async def read_request(reader: asyncio.StreamReader) -> Recorded:
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = raw.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = tuple(
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    fields = dict(headers)
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Recorded(method, path, headers, body)


class Stubs:
    """Stub servers on an event loop in a thread of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._started: list[Stub] = []

    def start(
        self,
        answer: Answer = echo,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> Stub:
        stub = Stub(self.loop, answer=answer, host=host, tls=tls)
        stub.start()
        self._started.append(stub)
        return stub

    def close(self) -> None:
        for stub in self._started:
            stub.kill()
        self._stop_tasks()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def _stop_tasks(self) -> None:
        async def cancel() -> None:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0.05)  # for the ends of transports

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(10)
