"""Logs of the operator: one line a record, `time level text`, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time

LEVELS = {"DEBUG": "debug", "INFO": "info", "WARNING": "warn", "ERROR": "error"}


class LineFormatter(logging.Formatter):
    """One line of `key=value` pairs; what spans lines (tracebacks) is quoted into one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = LEVELS.get(record.levelname, record.levelname.lower())
        line = f"{at}.{int(record.msecs):03}Z level={level} {_one_line(record.getMessage())}"
        if record.exc_info:
            line += f" traceback={json.dumps(self.formatException(record.exc_info))}"
        return line


def configure(*, verbose: bool) -> None:
    """Send all records to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)
