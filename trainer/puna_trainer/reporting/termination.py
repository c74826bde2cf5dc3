"""The last word of a run: a `Result` where Kubernetes looks for it, and in `result.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from puna_trainer.files import write_text
from puna_trainer.progress import RESULT_BYTES, Result

LOG_VARIABLE: Final = "PUNA_TERMINATION_LOG"
"""Environment variable that names the termination log where it is not at its usual place."""
USUAL_LOG: Final = "/dev/termination-log"
RESULT_NAME: Final = "result.json"
SHORT_MESSAGE: Final = 200


def result_text(result: Result) -> str:
    """Return a result as JSON, without what would make it too long for a termination message.

    First the message is cut, then the artifacts' proofs are left out, then the artifacts: all of it
    is in `result.json`.
    """
    shorter: tuple[dict[str, Any], ...] = (
        {},
        {"message": _cut(result.message)},
        {
            "artifacts": tuple(
                artifact.model_copy(update={"parity": None}) for artifact in result.artifacts
            )
        },
        {"artifacts": ()},
    )
    for change in shorter:
        result = result.model_copy(update=change)
        text = result.model_dump_json(by_alias=True, exclude_none=True)
        if len(text.encode()) <= RESULT_BYTES:
            break
    return text


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
    named = environment.get(LOG_VARIABLE)
    if named:
        return Path(named)
    return Path(USUAL_LOG) if os.access(USUAL_LOG, os.W_OK) else None


def _cut(message: str) -> str:
    return message if len(message) <= SHORT_MESSAGE else message[:SHORT_MESSAGE] + "..."
