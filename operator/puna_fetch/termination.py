"""The last word of a failed fetch: a `Failure` document where Kubernetes looks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from puna_fetch.failure import FetchFailed

LOG_VARIABLE = "PUNA_TERMINATION_LOG"
"""Environment variable that names the termination log where it is not at its usual place."""
_USUAL_LOG = "/dev/termination-log"
_LONGEST_MESSAGE = 1500  # characters; Kubernetes keeps 4096 bytes of the log


def failure_document(failure: FetchFailed) -> str:
    """The `Failure` document on one line."""
    message = failure.message
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + "..."
    return json.dumps({"reason": failure.reason, "message": message}, ensure_ascii=True)


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
