"""One server of the lab: requests in, answers and faults out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from puna_router.faults import answers
from puna_router.faults.answers import MEBIBYTE, Asked, Surface, Work
from puna_router.faults.connection import Connection, ResetConnectionError
from puna_router.faults.counts import Counts, Ended, Outcome
from puna_router.faults.delivery import Delivery
from puna_router.faults.fault import Fault, draw, health_lies
from puna_router.faults.listener import Listener
from puna_router.faults.settings import Plan, Settings
from puna_router.faults.slots import Slot, Slots
from puna_router.faults.wire import LAST_CHUNK, Request, chunk, document, head

EMBEDDINGS: Final = "/v1/embeddings"
WORK: Final = frozenset({*(str(surface) for surface in Surface), EMBEDDINGS})
STREAM_FIELDS: Final = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}
METRICS_KIND: Final = "text/plain; version=0.0.4"


class LabServer:
    """A stub llama-server."""

    def __init__(self, host: str, port: int, *, settings: Settings, plan: Plan) -> None:
        self.listener = Listener(host, port, self.answer)
        self._settings = settings
        self._counts = Counts()
        self._slots = Slots(settings.slots)
        self._plan = plan
        self._drawn = 0
        self._leaks: set[asyncio.Task[None]] = set()

    def follow(self, plan: Plan) -> None:
        """Follow another plan from its first request on; how earlier ones ended is forgotten."""
        self._plan = plan
        self._drawn = 0
        self._counts.recent.clear()

    def state(self) -> dict[str, Any]:
        """What `GET /lab` says."""
        slots = {
            "total": self._slots.count,
            "busy": self._slots.busy,
            "deferred": self._slots.deferred,
        }
        return {**self._counts.document(), "slots": slots, "plan": self._plan.document()}

    def ends(self) -> list[dict[str, Any]]:
        """What `GET /lab/requests` says."""
        return self._counts.ends()

    async def answer(self, request: Request, connection: Connection) -> bool:
        """Answer one request; False where its connection is to end with it.

        Raises:
            ResetConnectionError: a fault resets the connection.
        """
        if request.method == "POST" and request.path in WORK:
            return await self._work(request, connection)
        page = self._pages().get(request.path) if request.method == "GET" else None
        found = page() if page else refusal(404, "not_found_error", "File Not Found")
        await connection.send(b"".join(found))
        return True

    def _pages(self) -> dict[str, Callable[[], list[bytes]]]:
        name, slots = self._settings.model, self._slots
        return {
            "/health": self._health,
            "/v1/health": self._health,
            "/slots": lambda: page(answers.slot_list([slot.busy for slot in slots.slots])),
            "/props": lambda: page(answers.props(name, slots.count)),
            "/models": lambda: page(answers.models(name)),
            "/v1/models": lambda: page(answers.models(name)),
            "/metrics": lambda: document(self._metrics().encode(), kind=METRICS_KIND),
            "/lab": lambda: page(self.state()),
            "/lab/requests": lambda: page(self.ends()),
        }

    def _health(self) -> list[bytes]:
        number = self._counts.health_checks
        self._counts.health_checks += 1
        if health_lies(self._plan.seed, number, self._plan.chances):
            self._counts.faults[Fault.SICK_HEALTH] += 1
            return refusal(503, "unavailable_error", "Loading model")
        return page({"status": "ok"})

    def _metrics(self) -> str:
        return answers.metrics(
            prompt_tokens=self._counts.prompt_tokens,
            predicted_tokens=self._counts.predicted_tokens,
            processing=self._slots.busy,
            deferred=self._slots.deferred,
        )

    async def _work(self, request: Request, connection: Connection) -> bool:
        fault = draw(self._plan.seed, self._drawn, self._plan.chances)
        self._drawn += 1
        if fault is not None:
            self._counts.faults[fault] += 1
        self._counts.began()
        outcome = Outcome.CANCELLED
        try:
            whole = await self._serve(request, connection, fault)
            outcome = Outcome.COMPLETED if whole else Outcome.FAILED
        except ResetConnectionError:
            outcome = Outcome.FAILED
            raise
        finally:
            self._counts.ended(Ended(request.headers.get("x-request-id", ""), fault, outcome))
        return fault != Fault.TRUNCATE

    async def _serve(self, request: Request, connection: Connection, fault: Fault | None) -> bool:
        """Whether the client got all that it asked for."""
        if fault in (Fault.REFUSE, Fault.RESET_BEFORE):
            if fault == Fault.REFUSE:
                self.listener.refuse(self._settings.refuse)
            raise ResetConnectionError
        if fault in REFUSALS:
            await connection.send(b"".join(refusal(*REFUSALS[fault])))
            return False
        try:
            answered = self._answered(request, fault)
        except ValueError as error:
            answered = _listed(refusal(400, "invalid_request_error", str(error)))
        async with aclosing(answered) as parts:
            return await Delivery(connection, self._settings, fault).run(parts)

    def _answered(self, request: Request, fault: Fault | None) -> AsyncGenerator[bytes, None]:
        """Parts of the answer.

        Raises:
            ValueError: the request is not as it should be.
        """
        if request.path == EMBEDDINGS:
            return _listed(page(answers.embeddings(request.body, self._settings.model)))
        asked = answers.read_asked(
            request.path,
            request.body,
            tokens=self._settings.tokens,
            model=self._settings.model,
        )
        return self._generated(asked, fault)

    async def _generated(self, asked: Asked, fault: Fault | None) -> AsyncGenerator[bytes, None]:
        async with self._slot(asked.prompt, leaks=fault == Fault.LEAK_SLOT) as (slot, cached):
            work = Work(asked, slot.number, cached, self._settings.interval)
            self._counts.prompt_tokens += work.prompt_tokens - work.cached_tokens
            self._counts.predicted_tokens += asked.tokens
            if fault == Fault.HUGE:
                work = replace(work, word="x" * MEBIBYTE)
            name = str(self._counts.requests)
            await asyncio.sleep(self._settings.prefill)
            if asked.stream:
                yield head(200, STREAM_FIELDS)
                for event in answers.events(work, name):
                    yield chunk(event)
                    await asyncio.sleep(work.interval)
                yield LAST_CHUNK
            else:
                await asyncio.sleep(asked.tokens * work.interval)
                for part in page(answers.whole(work, name)):
                    yield part

    @asynccontextmanager
    async def _slot(self, prompt: str, *, leaks: bool) -> AsyncIterator[tuple[Slot, int]]:
        slot, cached = await self._slots.take(prompt)
        try:
            yield slot, cached
        finally:
            if leaks:
                task = asyncio.get_running_loop().create_task(self._free_later(slot))
                self._leaks.add(task)
                task.add_done_callback(self._leaks.discard)
            else:
                self._slots.free(slot)

    async def _free_later(self, slot: Slot) -> None:
        await asyncio.sleep(self._settings.leak)
        self._slots.free(slot)


REFUSALS: Final = {
    Fault.ERROR_500: (500, "server_error", "a fault of the lab"),
    Fault.ERROR_503: (503, "unavailable_error", "Loading model"),
}


def page(content: Any) -> list[bytes]:
    """A JSON document as a response."""
    return document(json.dumps(content, separators=(",", ":")).encode())


def refusal(status: int, kind: str, message: str) -> list[bytes]:
    """An error as a response."""
    content = json.dumps(answers.error(status, kind, message)).encode()
    return document(content, status=status)


async def _listed(parts: list[bytes]) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part
