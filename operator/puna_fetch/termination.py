"""The last word of a failed fetch: a `Failure` document where Kubernetes looks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from puna_fetch.failure import FetchFailed
from puna_fetch.reasons import FetchReason

LOG_VARIABLE = "PUNA_TERMINATION_LOG"
"""Environment variable that names the termination log where it is not at its usual place."""
_USUAL_LOG = "/dev/termination-log"
_LONGEST_DOCUMENT = 1800  # bytes; of a container's output, Kubernetes falls back to 2048


def failure_document(failure: FetchFailed) -> str:
    """The `Failure` document on one line, its message cut where it would not fit."""
    message = failure.message
    while len(document := _document(failure.reason, message).encode()) > _LONGEST_DOCUMENT:
        message = message[: len(message) * 3 // 4] + "..."
    return document.decode()


def _document(reason: FetchReason, message: str) -> str:
    # Escaped to ASCII: a log in another encoding leaves it as it is.
    return json.dumps({"reason": reason, "message": message})


def termination_log(environment: Mapping[str, str]) -> Path | None:
    """Where the termination message goes; None outside a container."""
    named = environment.get(LOG_VARIABLE)
    if named:
        return Path(named)
    return Path(_USUAL_LOG) if os.access(_USUAL_LOG, os.W_OK) else None


def write_termination(document: str, environment: Mapping[str, str]) -> OSError | None:
    """Write the message; the error, if it cannot be written."""
    path = termination_log(environment)
    if path is None:
        return None
    try:
        path.write_text(document)
    except OSError as error:
        return error
    return None
