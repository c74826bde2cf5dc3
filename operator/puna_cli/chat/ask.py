"""Send one chat and show the answer as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import httpx

from puna_cli.chat.measured import Measured
from puna_cli.chat.stream import error_message, parse_line
from puna_cli.errors import CommandError

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 300.0
"""Longest wait for the next byte of a stream."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    text: str
    measured: Measured


def ask(
    url: str,
    model: str,
    messages: Sequence[dict[str, str]],
    show: Callable[[str], None],
    *,
    max_tokens: int | None = None,
    key: str | None = None,
) -> Answer:
    """Stream one chat completion from `<url>/chat/completions`; `show` gets each piece of text.

    Raises:
        CommandError: the server cannot be reached, refuses, or breaks off before the end.
    """
    body = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **({} if max_tokens is None else {"max_tokens": max_tokens}),
    }
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    timeout = httpx.Timeout(CONNECT_SECONDS, read=SILENCE_SECONDS)
    measured = Measured(sent=time.monotonic())
    text: list[str] = []
    try:
        with (
            httpx.Client(timeout=timeout, trust_env=False) as client,
            client.stream("POST", f"{url}/chat/completions", json=body, headers=headers) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise CommandError(f"{model}: {answer.status_code} {_refusal(answer)}")
            for line in answer.iter_lines():
                piece = parse_line(line)
                if piece is None:
                    continue
                if piece.error is not None:
                    raise CommandError(f"{model}: {piece.error}")
                if piece.done:
                    return Answer("".join(text), measured)
                if piece.tokens is not None:
                    measured = replace(measured, tokens=piece.tokens)
                if piece.text:
                    measured = measured.piece(time.monotonic())
                    text.append(piece.text)
                    show(piece.text)
    except httpx.TransportError as error:
        raise CommandError(f"{url}: {error or type(error).__name__}") from error
    raise CommandError(f"{model}: the stream ended before its end was announced")


def _refusal(answer: httpx.Response) -> str:
    try:
        return error_message(answer.json()) or answer.text[:500]
    except json.JSONDecodeError:
        return answer.text[:500]
