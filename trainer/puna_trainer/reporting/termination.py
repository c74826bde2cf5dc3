"""The last word of a run: a `Result` where Kubernetes looks for it, and in `result.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from puna_trainer.files import write_text
from puna_trainer.progress import RESULT_BYTES, Result

LOG_VARIABLE: Final = "PUNA_TERMINATION_LOG"
"""Environment variable that names the termination log where it is not at its usual place."""
WORDS_VARIABLE: Final = "PUNA_LAST_WORDS"
"""Environment variable that names the folder where each of several processes leaves its own."""
USUAL_LOG: Final = "/dev/termination-log"
RESULT_NAME: Final = "result.json"
SHORT_MESSAGE: Final = 200
DIGITS: Final = 4
"""Significant digits of numbers in a termination message."""
LEAST_NEEDED: Final = (
    "artifacts.parity.greedyEqual",
    "artifacts.parity.kld99",
    "artifacts.fallbackTensors",  # none: a file that has some is not registered
    "artifacts.uploadedTo",
    "artifacts.bitsPerWeight",
    "hashes",  # progress told them, and the newest checkpoint
    "checkpoint",
    "artifacts.parity",
    "artifacts",
)
"""What is left out of a result that is too long, in this order. What a file is served by, its path,
type, digest and size, goes last; before it the measures that decided that it may be."""


def result_text(result: Result) -> str:
    """Return a result as JSON that is not too long for a termination message.

    Numbers have few digits. Of a result that is too long the message is cut, and then what is
    needed least is left out, member by member; all of it is in `result.json`.
    """
    document = _rounded(result.model_dump(mode="json", by_alias=True, exclude_none=True))
    if not _fits(document):
        document["message"] = _cut(document["message"])
    for path in LEAST_NEEDED:
        if _fits(document):
            break
        _leave_out(document, path)
    return _text(document)


def write_termination(result: Result, environment: Mapping[str, str]) -> None:
    """Write the termination message; outside a container there is no place for it.

    Raises:
        OSError: it cannot be written.
    """
    path = _termination_log(environment)
    if path is not None:
        path.write_text(result_text(result), encoding="utf-8")


def write_result(result: Result, folder: Path) -> None:
    """Write `result.json`.

    Raises:
        OSError: it cannot be written.
    """
    text = result.model_dump_json(by_alias=True, exclude_none=True, indent=1)
    write_text(folder / RESULT_NAME, text + "\n")


def _termination_log(environment: Mapping[str, str]) -> Path | None:
    words = environment.get(WORDS_VARIABLE)
    if words:
        return Path(words) / f"{environment['LOCAL_RANK']}.json"
    named = environment.get(LOG_VARIABLE)
    if named:
        return Path(named)
    return Path(USUAL_LOG) if os.access(USUAL_LOG, os.W_OK) else None


def _cut(message: str) -> str:
    return message if len(message) <= SHORT_MESSAGE else message[:SHORT_MESSAGE] + "..."


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _fits(document: Any) -> bool:
    return len(_text(document).encode()) <= RESULT_BYTES


def _rounded(value: Any) -> Any:
    """Return a document with few digits of its numbers."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _leave_out(document: Any, path: str) -> None:
    """Take a member out of a document, and out of each element where a list is on the way."""
    if isinstance(document, list):
        for each in document:
            _leave_out(each, path)
        return
    name, _, below = path.partition(".")
    if not below:
        document.pop(name, None)
    elif name in document:
        _leave_out(document[name], below)
