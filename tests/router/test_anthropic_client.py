"""The official Anthropic client, unmodified, before the router and a real llama-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from tests.router.served import Served, key_of
from tests.router.stub import Recorded, chunk, echo, head

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
CITIES = ("Oslo", "Rome")
WEATHER: Any = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": list(CITIES)}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=served.router.url, api_key=key_of("alice"), max_retries=0
    ) as made:
        yield made


def ask(client: anthropic.Anthropic, model: str = "keyed", **more: Any) -> Any:
    asked: dict[str, Any] = {"max_tokens": 5, "model": model, "messages": MESSAGES}
    return client.messages.create(**asked | more)


def read(answer: Any) -> int:
    """Tokens of the prompt, whether they were in the server's cache or not."""
    tokens: int = answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    return tokens


def test_it_gets_a_message(client: anthropic.Anthropic) -> None:
    answer = ask(client, system="Be kind.")
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "max_tokens")
    assert (answer.content[0].type, answer.usage.output_tokens) == ("text", 5)
    assert answer.content[0].text
    assert read(answer) > read(ask(client))


def test_a_token_of_another_kind_opens_the_endpoint_too(served: Served) -> None:
    with anthropic.Anthropic(
        base_url=served.router.url, auth_token=key_of("alice"), api_key=None, max_retries=0
    ) as bearer:
        assert ask(bearer).content


def test_it_streams(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="keyed", max_tokens=5, messages=MESSAGES) as stream:
        said = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert said
    assert (whole.content[0].type, whole.stop_reason) == ("text", "max_tokens")
    assert whole.content[0].type == "text"
    assert whole.content[0].text == said
    assert whole.usage.output_tokens == 5
    kinds = [event.type for event in ask(client, stream=True)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


async def test_it_streams_asynchronously(served: Served) -> None:
    async with (
        anthropic.AsyncAnthropic(
            base_url=served.router.url, api_key=key_of("alice"), max_retries=0
        ) as client,
        client.messages.stream(model="keyed", max_tokens=5, messages=MESSAGES) as stream,
    ):
        assert [text async for text in stream.text_stream]


def test_it_counts_tokens(client: anthropic.Anthropic) -> None:
    plain = client.messages.count_tokens(model="keyed", messages=MESSAGES)
    more = client.messages.count_tokens(model="keyed", messages=MESSAGES, system="Be kind.")
    assert 0 < plain.input_tokens < more.input_tokens
    assert plain.input_tokens == read(ask(client))


def test_it_calls_tools(client: anthropic.Anthropic) -> None:
    answer = ask(client, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=200)
    assert answer.stop_reason == "tool_use"
    (call,) = (block for block in answer.content if block.type == "tool_use")
    assert call.id
    assert call.name == "weather"
    assert call.input["city"] in CITIES
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [
        *MESSAGES,
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {"role": "user", "content": [result]},
    ]
    more: Any = {"tools": [WEATHER], "tool_choice": {"type": "any"}, "max_tokens": 200}
    assert ask(client, messages=messages, **more).stop_reason == "tool_use"


def test_tool_calls_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="keyed",
        max_tokens=200,
        messages=MESSAGES,
        tools=[WEATHER],
        tool_choice={"type": "any"},
    ) as stream:
        whole = stream.get_final_message()
    assert whole.stop_reason == "tool_use"
    (call,) = (block for block in whole.content if block.type == "tool_use")
    assert call.name == "weather"
    assert call.input["city"] in CITIES


def test_it_lists_models(client: anthropic.Anthropic) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["chat", "chat:short", "keyed", "limited", "stub", "vectors", "soon"]
    assert client.models.retrieve("chat:short").id == "chat:short"


@pytest.mark.parametrize(
    ("attempt", "error", "kind", "message"),
    [
        (
            lambda client: ask(client.with_options(api_key="mine")),
            anthropic.AuthenticationError,
            "authentication_error",
            "this is no API key of keyed",
        ),
        (
            lambda client: ask(client.with_options(api_key=key_of("bob"))),
            anthropic.PermissionDeniedError,
            "permission_error",
            "this API key does not open keyed",
        ),
        (
            lambda client: ask(client, "claude"),
            anthropic.NotFoundError,
            "not_found_error",
            "there is no model claude; there is chat, chat:short",
        ),
        (
            lambda client: client.messages.count_tokens(model="claude", messages=MESSAGES),
            anthropic.NotFoundError,
            "not_found_error",
            "there is no model claude",
        ),
        (
            lambda client: client.messages.batches.list(),
            anthropic.NotFoundError,
            "not_found_error",
            "/v1/messages/batches is not served here",
        ),
        (
            lambda client: ask(client, "soon"),
            anthropic.InternalServerError,
            "unavailable_error",
            "no backend of this model is healthy",
        ),
        (
            lambda client: ask(client, messages=[{"role": "user", "content": "x" * 5000}]),
            anthropic.BadRequestError,
            "exceed_context_size_error",
            "exceeds the available context size",
        ),
    ],
)
def test_errors_have_their_type_and_their_message(
    client: anthropic.Anthropic,
    attempt: Callable[[anthropic.Anthropic], Any],
    error: type[anthropic.APIStatusError],
    kind: str,
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        attempt(client)
    assert caught.value.type == kind
    assert caught.value.response.headers["x-request-id"]


def test_the_routers_errors_are_documents_of_the_protocol(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(client, "claude")
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert {"type", "message"} <= body["error"].keys()


def test_a_rate_limit_says_when_to_come_back(served: Served, client: anthropic.Anthropic) -> None:
    served.stub.answer = echo
    slow = client.with_options(api_key=key_of("slower"))
    ask(slow, "limited")
    with pytest.raises(anthropic.RateLimitError, match="6 requests per minute") as caught:
        ask(slow, "limited")
    assert caught.value.response.headers["retry-after"] == "10"


def test_a_stream_that_breaks_off_is_an_error(served: Served, client: anthropic.Anthropic) -> None:
    async def broken(_: Recorded) -> AsyncIterator[bytes]:
        yield head(content_type="text/event-stream", transfer_encoding="chunked")
        yield chunk(b'event: ping\ndata: {"type":"ping"}\n\n')
        await asyncio.sleep(0.05)
        raise ConnectionError

    served.stub.answer = broken
    with pytest.raises(httpx2.RemoteProtocolError, match="peer closed connection"):
        list(ask(client, "stub", stream=True))
