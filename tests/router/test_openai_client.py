"""The official OpenAI client, unmodified, before the router and a real llama-server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.ports import free_port
from tests.router.served import Served, key_of
from tests.router.stub import Answer, Recorded, chunk, document, echo, head

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
CITIES = ("Oslo", "Rome")
LARGE = 2**53 + 1
"""No double is this number."""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "zone": {"type": "string", "enum": list(CITIES)},
        "number": {"const": LARGE},
        "area": {"type": "boolean"},
    },
    "required": ["zone", "number", "area"],
    "additionalProperties": False,
}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": list(CITIES)}},
            "required": ["city"],
        },
    },
}


class Place(BaseModel):
    """What an answer has to hold."""

    city: Literal["Oslo", "Rome"]
    capital: bool


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.router.url}/v1", api_key="mine", max_retries=0) as made:
        yield made


def with_key(client: openai.OpenAI, name: str, **more: Any) -> openai.OpenAI:
    return client.with_options(api_key=key_of(name), **more)


def test_it_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.usage is not None
    assert (answer.model, answer.object) == ("chat", "chat.completion")
    assert answer.usage.completion_tokens == 9
    assert (answer.choices[0].finish_reason, answer.choices[0].message.role) == (
        "length",
        "assistant",
    )
    assert answer.choices[0].message.content
    shorter = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=4)
    assert shorter.usage is not None
    assert shorter.usage.completion_tokens == 4


def test_it_streams(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="chat", messages=MESSAGES, stream=True) as stream:
        pieces = list(stream)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert pieces[-1].choices[0].finish_reason == "length"
    assert all(piece.usage is None for piece in pieces)


def test_a_stream_tells_its_usage_where_that_is_asked_for(client: openai.OpenAI) -> None:
    pieces = list(
        client.chat.completions.create(
            model="chat:short",
            messages=MESSAGES,
            stream=True,
            max_completion_tokens=50,
            stream_options={"include_usage": True},
        )
    )
    assert (pieces[-1].choices, pieces[-2].choices[0].finish_reason) == ([], "length")
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.completion_tokens == 3


async def test_it_chats_and_streams_asynchronously(served: Served) -> None:
    url = f"{served.router.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="mine", max_retries=0) as client:
        both = [client.chat.completions.create(model="chat", messages=MESSAGES) for _ in range(2)]
        for answer in await asyncio.gather(*both):
            assert answer.choices[0].message.content
        stream = await client.chat.completions.create(model="chat", messages=MESSAGES, stream=True)
        pieces = [piece async for piece in stream]
        assert pieces[-1].choices[0].finish_reason == "length"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="gpt-4", messages=MESSAGES)


def test_it_calls_tools(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=MESSAGES, tools=[WEATHER], tool_choice="required", max_tokens=200
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls
    call = answer.choices[0].message.tool_calls[0]
    assert call.type == "function"
    assert call.id
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in CITIES
    messages = [
        *MESSAGES,
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    again = client.chat.completions.create(
        model="chat", messages=messages, tools=[WEATHER], tool_choice="required", max_tokens=200
    )
    assert again.choices[0].finish_reason == "tool_calls"


def test_tool_calls_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="chat",
        messages=MESSAGES,
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=200,
        stream=True,
    )
    pieces = [piece.choices[0] for piece in stream]
    calls = [call for piece in pieces for call in piece.delta.tool_calls or []]
    assert {call.index for call in calls} == {0}
    functions = [call.function for call in calls if call.function is not None]
    assert "".join(function.name or "" for function in functions) == "weather"
    arguments = "".join(function.arguments or "" for function in functions)
    assert json.loads(arguments)["city"] in CITIES
    assert pieces[-1].finish_reason == "tool_calls"


def test_an_answer_follows_a_schema_to_the_letter(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat",
        messages=MESSAGES,
        max_tokens=200,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "strict": True, "schema": SCHEMA},
        },
    )
    found = json.loads(answer.choices[0].message.content or "")
    assert list(found) == list(SCHEMA["properties"])
    assert found["number"] == LARGE
    assert found["zone"] in CITIES
    assert isinstance(found["area"], bool)


def test_an_answer_is_parsed_into_a_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="chat", messages=MESSAGES, response_format=Place, max_tokens=200
    )
    assert isinstance(answer.choices[0].message.parsed, Place)


def test_it_completes_texts(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt="once", max_tokens=5)
    assert answer.usage is not None
    assert (answer.object, answer.usage.completion_tokens) == ("text_completion", 5)
    assert answer.choices[0].text
    pieces = list(client.completions.create(model="chat", prompt="once", max_tokens=5, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces)
    assert pieces[-1].choices[0].finish_reason == "length"


def test_it_gets_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="chat", input="hi", instructions="Be kind.", max_output_tokens=6
    )
    assert answer.output_text
    assert answer.usage is not None
    assert answer.usage.output_tokens == 6
    with client.responses.create(
        model="chat", input=MESSAGES, max_output_tokens=6, stream=True
    ) as stream:
        events = list(stream)
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "".join(said)


def test_responses_call_tools(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "strict": True, **WEATHER["function"]}
    answer = client.responses.create(
        model="chat",
        input="hi",
        max_output_tokens=200,
        tools=[tool],
        tool_choice="required",
    )
    (call,) = answer.output
    assert call.type == "function_call"
    assert call.name == "weather"
    assert json.loads(call.arguments)["city"] in CITIES


def test_it_embeds_texts(client: openai.OpenAI) -> None:
    texts = ["the sea", "a mountain"]
    packed = client.embeddings.create(model="vectors", input=texts)
    plain = client.embeddings.create(model="vectors", input=texts, encoding_format="float")
    assert [item.index for item in plain.data] == [0, 1]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert plain.data[0].embedding != plain.data[1].embedding


def test_it_lists_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == ["chat", "chat:short", "keyed", "limited", "stub", "vectors", "soon"]
    found = client.models.retrieve("chat:short")
    assert (found.owned_by, found.created) == ("puna", 1_700_000_000)


def test_headers_and_request_ids_are_there(client: openai.OpenAI) -> None:
    ask = client.chat.completions.with_raw_response.create
    raw = ask(model="chat", messages=MESSAGES, extra_headers={"x-request-id": "mine-1"})
    assert raw.headers["x-request-id"] == raw.request_id == "mine-1"
    assert raw.headers["content-type"].startswith("application/json")
    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer._request_id


def chat(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, **more)


@pytest.mark.parametrize(
    ("ask", "error", "kind", "message"),
    [
        (
            lambda client: chat(client, "keyed"),
            openai.AuthenticationError,
            "authentication_error",
            "this is no API key of keyed",
        ),
        (
            lambda client: chat(with_key(client, "bob"), "keyed"),
            openai.PermissionDeniedError,
            "permission_error",
            "this API key does not open keyed",
        ),
        (
            lambda client: chat(client, "gpt-4"),
            openai.NotFoundError,
            "not_found_error",
            "there is no model gpt-4; there is chat, chat:short",
        ),
        (
            lambda client: client.models.retrieve("gpt-4"),
            openai.NotFoundError,
            "not_found_error",
            "there is no model gpt-4; there is chat, chat:short",
        ),
        (
            lambda client: client.moderations.create(input="x"),
            openai.NotFoundError,
            "not_found_error",
            "/v1/moderations is not served here",
        ),
        (
            lambda client: chat(client, "soon"),
            openai.InternalServerError,
            "unavailable_error",
            "no backend of this model is healthy",
        ),
        (
            lambda client: chat(client, "chat", response_format={"type": "nonsense"}),
            openai.BadRequestError,
            "invalid_request_error",
            "response_format type must be one of",
        ),
        (
            lambda client: client.completions.create(model="chat", prompt="x" * 5000),
            openai.BadRequestError,
            "exceed_context_size_error",
            "exceeds the available context size",
        ),
        (
            lambda client: client.embeddings.create(model="chat", input="x"),
            openai.InternalServerError,
            "not_supported_error",
            "embeddings",
        ),
    ],
)
def test_errors_have_their_type_and_their_message(
    client: openai.OpenAI,
    ask: Callable[[openai.OpenAI], Any],
    error: type[openai.APIStatusError],
    kind: str,
    message: str,
) -> None:
    with pytest.raises(error) as caught:
        ask(client)
    found = caught.value
    assert message in found.message
    assert (found.type, found.code) == (kind, str(found.status_code))
    assert found.request_id == found.response.headers["x-request-id"]


def test_a_rate_limit_says_when_to_come_back(served: Served, client: openai.OpenAI) -> None:
    served.stub.answer = echo
    keyed = with_key(client, "slow")
    chat(keyed, "limited")
    with pytest.raises(openai.RateLimitError, match="6 requests per minute") as caught:
        chat(keyed, "limited")
    assert caught.value.response.headers["retry-after"] == "10"
    assert caught.value.type == "rate_limit_error"


def test_its_retry_waits_for_as_long_as_it_is_told(served: Served, client: openai.OpenAI) -> None:
    async def slow(_: Recorded) -> AsyncIterator[bytes]:
        await asyncio.sleep(2)
        yield document(b"{}")

    served.stub.answer = slow
    keyed = with_key(client, "single", max_retries=5)
    before = len(served.stub.requests)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(chat, keyed, "limited")
        while served.stub.active == 0:
            time.sleep(0.005)
        began = time.monotonic()
        chat(keyed, "limited")
        took = time.monotonic() - began
        first.result()
    one, other = served.stub.requests[before:]
    assert one.header("x-stainless-retry-count") == "0"
    # While the key's one request runs, the client is told to come back in a second.
    assert took >= int(other.header("x-stainless-retry-count") or 0) >= 1


def test_it_tries_again_after_an_error_of_the_server(served: Served, client: openai.OpenAI) -> None:
    answers = iter([document(b'{"error":{"message":"no"}}', "500 Oops"), document(b"{}")])

    async def failing_once(_: Recorded) -> AsyncIterator[bytes]:
        yield next(answers)

    served.stub.answer = failing_once
    before = len(served.stub.requests)
    chat(client.with_options(max_retries=1), "stub")
    assert len(served.stub.requests) - before == 2


def silent(seconds: float) -> Answer:
    async def answer(_: Recorded) -> AsyncIterator[bytes]:
        await asyncio.sleep(seconds)
        yield document(b"{}")

    return answer


def test_a_silent_server_is_an_error_of_the_server(served: Served, client: openai.OpenAI) -> None:
    served.stub.answer = silent(10)
    with pytest.raises(openai.InternalServerError, match="silent for too long") as caught:
        chat(client, "stub")
    assert (caught.value.status_code, caught.value.type) == (504, "timeout_error")


def test_its_own_timeout_holds(served: Served, client: openai.OpenAI) -> None:
    served.stub.answer = silent(10)
    with pytest.raises(openai.APITimeoutError):
        chat(client, "stub", timeout=0.2)


def test_nobody_at_the_address_is_a_connection_error(client: openai.OpenAI) -> None:
    nowhere = client.with_options(base_url=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(openai.APIConnectionError):
        chat(nowhere, "chat")


def test_a_stream_that_breaks_off_is_an_error(served: Served, client: openai.OpenAI) -> None:
    async def broken(_: Recorded) -> AsyncIterator[bytes]:
        yield head(content_type="text/event-stream", transfer_encoding="chunked")
        yield chunk(b'data: {"choices":[]}\n\n')
        await asyncio.sleep(0.05)
        raise ConnectionError

    served.stub.answer = broken
    stream = iter(chat(client, "stub", stream=True))
    assert next(stream).choices == []
    with pytest.raises(openai.APIConnectionError):
        next(stream)
