"""Termination messages: what a container says about its end."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from puna_node.facts import Exit
from puna_node.log_files import tail_text
from puna_node.manifest import Manifest

MESSAGE_BYTES: Final = 4096
LOG_BYTES: Final = 2048
LOG_LINES: Final = 80


def with_message(container: Manifest, how: Exit, folder: Path) -> Exit:
    """Exit with the message that the container left, or the end of its log if it asks for that."""
    message = _read_start(folder / "termination-log")
    if (
        not message
        and how.code != 0
        and container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    ):
        message = tail_text(folder / "log", lines=LOG_LINES, size=LOG_BYTES)
    return replace(how, message=message or how.message)


def _read_start(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MESSAGE_BYTES).decode(errors="replace")
