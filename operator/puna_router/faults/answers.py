"""Answers in llama-server's shapes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

BUILD: Final = "b0-fault-lab"
CONTEXT: Final = 4096
"""Tokens of context that each slot claims to have."""
CHARACTERS_PER_TOKEN: Final = 4
DIMENSIONS: Final = 8
"""Length of an embedding."""
CREATED: Final = 1_700_000_000
"""Seconds since the epoch at which everything claims to be made: equal requests, equal answers."""
TOKEN_LIMITS: Final = ("max_completion_tokens", "max_tokens", "n_predict")
MEBIBYTE: Final = 1 << 20


class Surface(StrEnum):
    """Paths that generate."""

    COMPLETION = "/completion"
    COMPLETIONS = "/v1/completions"
    CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants."""

    surface: Surface
    prompt: str
    tokens: int
    stream: bool
    usage: bool
    """A stream ends with an event that holds the usage."""
    model: str


@dataclass(frozen=True, slots=True)
class Work:
    """What became of it in a slot."""

    asked: Asked
    slot: int
    cached: int
    """Characters of the prompt that the slot held already."""
    interval: float
    """Seconds between two tokens."""
    word: str = " word"
    """What each token says."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the whole prompt."""
        return -(-len(self.asked.prompt) // CHARACTERS_PER_TOKEN)

    @property
    def cached_tokens(self) -> int:
        """Those of them that the slot held already."""
        return min(self.cached // CHARACTERS_PER_TOKEN, self.prompt_tokens)

    def timings(self) -> dict[str, Any]:
        """llama-server's `timings`."""
        fresh = self.prompt_tokens - self.cached_tokens
        milliseconds = self.asked.tokens * self.interval * 1000
        return {
            "cache_n": self.cached_tokens,
            "prompt_n": fresh,
            "prompt_ms": 0.0,
            "prompt_per_token_ms": 0.0,
            "prompt_per_second": 0.0,
            "predicted_n": self.asked.tokens,
            "predicted_ms": milliseconds,
            "predicted_per_token_ms": self.interval * 1000,
            "predicted_per_second": 1 / self.interval if self.interval else 0.0,
        }

    def usage(self) -> dict[str, Any]:
        """OpenAI's `usage`."""
        return {
            "completion_tokens": self.asked.tokens,
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.asked.tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def read_asked(path: str, body: bytes, *, tokens: int, model: str) -> Asked:
    """What a body asks for; `tokens` where it sets no limit.

    Raises:
        ValueError: it is no JSON object, or holds no prompt.
    """
    content = json.loads(body)
    if not isinstance(content, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004 - one reason for the caller
    surface = Surface(path)
    member = "messages" if surface == Surface.CHAT else "prompt"
    if member not in content:
        raise ValueError(f"{member!r} is required")
    prompt = content[member]
    limits = [content[name] for name in TOKEN_LIMITS if isinstance(content.get(name), int)]
    options = content.get("stream_options")
    return Asked(
        surface=surface,
        prompt=prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False),
        tokens=max(limits[0], 0) if limits else tokens,
        stream=content.get("stream") is True,
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        model=str(content.get("model", model)),
    )


def whole(work: Work, name: str) -> dict[str, Any]:
    """The answer as one document; `name` makes its id."""
    text = work.word * work.asked.tokens
    if work.asked.surface == Surface.COMPLETION:
        return _native(work, text, stop=True) | {"timings": work.timings()}
    shared = {"created": CREATED, "model": work.asked.model, "system_fingerprint": BUILD}
    measured = {"usage": work.usage(), "id": f"chatcmpl-{name}", "timings": work.timings()}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    if work.asked.surface == Surface.CHAT:
        choice["message"] = {"role": "assistant", "content": text}
        return {"choices": [choice], **shared, "object": "chat.completion", **measured}
    choice |= {"text": text, "logprobs": None}
    return {"choices": [choice], **shared, "object": "text_completion", **measured}


def events(work: Work, name: str) -> Iterator[bytes]:
    """The answer as server-sent events.

    A chat begins with one for the role; then there is one for each token, and what ends it.
    """
    surface = work.asked.surface
    if surface == Surface.COMPLETION:
        for _ in range(work.asked.tokens):
            yield _event(_native(work, work.word, stop=False))
        yield _event(_native(work, "", stop=True) | {"timings": work.timings()})
        return
    if surface == Surface.CHAT:
        yield _event(_piece(work, name, {"delta": {"role": "assistant", "content": None}}))
    for _ in range(work.asked.tokens):
        said = {"delta": {"content": work.word}} if surface == Surface.CHAT else {"text": work.word}
        yield _event(_piece(work, name, said))
    last: dict[str, Any] = {"delta": {}} if surface == Surface.CHAT else {"text": ""}
    end = _piece(work, name, last | {"finish_reason": "length"})
    if work.asked.usage:
        yield _event(end)
        end = {**end, "choices": [], "usage": work.usage()}
    yield _event(end | {"timings": work.timings()})
    yield b"data: [DONE]\n\n"


def _native(work: Work, text: str, *, stop: bool) -> dict[str, Any]:
    answer = {
        "index": 0,
        "content": text,
        "tokens": [],
        "id_slot": work.slot,
        "stop": stop,
        "tokens_predicted": work.asked.tokens,
        "tokens_evaluated": work.prompt_tokens,
    }
    if stop:
        answer |= {
            "model": work.asked.model,
            "truncated": False,
            "stop_type": "limit",
            "stopping_word": "",
            "tokens_cached": work.prompt_tokens + work.asked.tokens,
        }
    return answer


def _piece(work: Work, name: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    chat = work.asked.surface == Surface.CHAT
    return {
        "choices": [{"index": 0, "finish_reason": None, **choice}],
        "created": CREATED,
        "id": f"chatcmpl-{name}",
        "model": work.asked.model,
        "system_fingerprint": BUILD,
        "object": "chat.completion.chunk" if chat else "text_completion",
    }


def _event(content: Mapping[str, Any]) -> bytes:
    return b"data: %s\n\n" % json.dumps(content, separators=(",", ":")).encode()


def embeddings(body: bytes, model: str) -> dict[str, Any]:
    """Answer of `/v1/embeddings`.

    Raises:
        ValueError: the body is no JSON object with `input`.
    """
    content = json.loads(body)
    if not isinstance(content, dict) or "input" not in content:
        raise ValueError("'input' is required")
    given = content["input"] if isinstance(content["input"], list) else [content["input"]]
    tokens = sum(-(-len(str(text)) // CHARACTERS_PER_TOKEN) for text in given)
    vector = [1.0] + [0.0] * (DIMENSIONS - 1)
    return {
        "model": str(content.get("model", model)),
        "object": "list",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "data": [
            {"embedding": vector, "index": index, "object": "embedding"}
            for index in range(len(given))
        ],
    }


def models(model: str) -> dict[str, Any]:
    """Answer of `/v1/models`."""
    listed = {
        "id": model,
        "object": "model",
        "created": CREATED,
        "owned_by": "llamacpp",
        "meta": {"n_ctx_train": CONTEXT, "n_embd": DIMENSIONS},
    }
    return {"object": "list", "data": [listed]}


def props(model: str, slots: int) -> dict[str, Any]:
    """Answer of `/props`."""
    return {
        "default_generation_settings": {"n_ctx": CONTEXT, "params": {"n_predict": -1}},
        "total_slots": slots,
        "model_alias": model,
        "model_path": f"{model}.gguf",
        "modalities": {"vision": False, "audio": False},
        "chat_template": "",
        "build_info": BUILD,
    }


def slot_list(busy: list[bool]) -> list[dict[str, Any]]:
    """Answer of `/slots`."""
    return [
        {"id": number, "n_ctx": CONTEXT, "speculative": False, "is_processing": processing}
        for number, processing in enumerate(busy)
    ]


def metrics(*, prompt_tokens: int, predicted_tokens: int, processing: int, deferred: int) -> str:
    """Answer of `/metrics`."""
    values = {
        "prompt_tokens_total": ("counter", prompt_tokens),
        "tokens_predicted_total": ("counter", predicted_tokens),
        "requests_processing": ("gauge", processing),
        "requests_deferred": ("gauge", deferred),
    }
    return "".join(
        f"# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"
        for name, (kind, value) in values.items()
    )


def error(status: int, kind: str, message: str) -> dict[str, Any]:
    """An error as llama-server words it."""
    return {"error": {"code": status, "message": message, "type": kind}}
