"""Server-sent events of a chat completion. Pure: lines in, events out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event holds."""

    text: str = ""
    tokens: int | None = None
    done: bool = False
    error: str | None = None


def parse_line(line: str) -> Piece | None:
    """The event in one line; None for comments and blank lines.

    Raises:
        ValueError: the data are no JSON.
    """
    if not line.startswith("data:"):
        return None
    data = line.removeprefix("data:").strip()
    if data == DONE:
        return Piece(done=True)
    event: dict[str, Any] = json.loads(data)
    if "error" in event:
        return Piece(error=error_message(event) or data)
    choices = event.get("choices") or [{}]
    usage = event.get("usage") or {}
    return Piece(
        text=choices[0].get("delta", {}).get("content") or "",
        tokens=usage.get("completion_tokens"),
    )


def error_message(body: object) -> str | None:
    """Message of an OpenAI error document; None if it is none."""
    if isinstance(body, dict) and isinstance(error := body.get("error"), dict):
        parts = (error.get("reason"), error.get("message"))
        return ": ".join(str(part) for part in parts if part) or None
    return None
