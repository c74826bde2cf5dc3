"""The reference: ext_proc by grpc.aio and protobuf's own code, over the same decisions."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc.aio
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service

from puna_router.picker.choose import Prompt
from puna_router.picker.endpoint import Request, Ticket
from puna_router.picker.scheduler import Answer, Decision, Hold, Pick, Scheduler

Message = Any
"""A ProcessingRequest or a ProcessingResponse."""


class ReferencePicker(service.ExternalProcessorServicer):  # type: ignore[misc] # untyped code
    """Answers Envoy's calls; one task reads each call, another writes it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._outboxes: dict[Ticket, asyncio.Queue[Message | None]] = {}

    async def Process(  # noqa: N802 - the name in Envoy's definition
        self, requests: AsyncIterator[Message], context: Any
    ) -> AsyncIterator[Message]:
        del context
        outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, outbox))
        try:
            while (answer := await outbox.get()) is not None:
                yield answer
        finally:
            reader.cancel()

    async def _read(
        self, requests: AsyncIterator[Message], outbox: asyncio.Queue[Message | None]
    ) -> None:
        tickets: list[Ticket] = []
        try:
            async for message in requests:
                self._take(message, tickets, outbox)
        finally:
            for ticket in tickets:
                del self._outboxes[ticket]
                self._tell(self._scheduler.leave(ticket, time.monotonic()))
            outbox.put_nowait(None)

    def _take(
        self, message: Message, tickets: list[Ticket], outbox: asyncio.Queue[Message | None]
    ) -> None:
        if message.WhichOneof("request") != "request_headers" or tickets:
            outbox.put_nowait(going_on(message))
            return
        ticket, decisions = self._scheduler.arrive(read(message), time.monotonic(), time.time())
        if ticket is None:
            outbox.put_nowait(going_on(message))
            return
        tickets.append(ticket)
        self._outboxes[ticket] = outbox
        self._tell(decisions)

    def _tell(self, decisions: Iterable[Decision]) -> None:
        for ticket, answer in decisions:
            self._outboxes[ticket].put_nowait(answered(answer, ticket.request.id))


async def serve(path: str, picker: ReferencePicker) -> grpc.aio.Server:
    """A server on a UNIX socket."""
    server = grpc.aio.server()
    service.add_ExternalProcessorServicer_to_server(picker, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


def read(message: Message) -> Request:
    """What the picker wants to know of a request."""
    headers = {
        header.key: header.raw_value.decode() or header.value
        for header in message.request_headers.headers.headers
    }
    attributes = message.attributes["envoy.filters.http.ext_proc"]
    pairs = [entry.split(":") for entry in headers.get("x-puna-prefix", "").split(",") if entry]
    chain = tuple((digest.encode(), int(size)) for digest, size in pairs[:32])
    affinity = headers.get("x-puna-affinity") or (pairs[0][0] if pairs else "")
    return Request(
        cluster=dict(attributes).get("xds.cluster_name", ""),
        target=headers.get("x-puna-target", ""),
        key=headers.get("x-puna-client", ""),
        takes_slot="x-puna-slots" in headers,
        prompt=Prompt(chain, affinity.encode()) if chain else Prompt(),
        id=headers.get("x-request-id", ""),
    )


def going_on(message: Message) -> Message:
    """An answer that changes nothing."""
    answer = ext_proc.ProcessingResponse()
    getattr(answer, message.WhichOneof("request")).SetInParent()
    return answer


def answered(answer: Answer, request_id: str) -> Message:
    """A decision as a message."""
    message = ext_proc.ProcessingResponse()
    if isinstance(answer, Hold):
        message.override_message_timeout.FromNanoseconds(round(answer.seconds * 1e9))
    elif isinstance(answer, Pick):
        common = message.request_headers.response
        session = base64.b64encode(answer.address.encode())
        set_header(common.header_mutation, "x-puna-session", session)
        if answer.cluster is not None:
            set_header(common.header_mutation, "x-puna-cluster", answer.cluster.encode())
            common.clear_route_cache = True
    else:
        refusal = message.immediate_response
        refusal.status.code = answer.status
        set_header(refusal.headers, "content-type", b"application/json")
        set_header(refusal.headers, "retry-after", str(answer.retry_after).encode())
        refusal.body = answer.body(request_id)
        refusal.details = f"puna_{answer.reason}"
        told = message.dynamic_metadata.get_or_create_struct("puna")
        told["answered"] = True
        told["reason"] = str(answer.reason)
    return message


def set_header(mutation: Any, name: str, value: bytes) -> None:
    option = mutation.set_headers.add()
    option.header.key = name
    option.header.raw_value = value
    option.append_action = option.OVERWRITE_IF_EXISTS_OR_ADD
