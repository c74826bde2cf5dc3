"""`puna-fetch`: put one model file in place. See docs/model-fetch.md.

Exit codes: 0 in place; 1 not, with a `Failure` document; 143 or 130 stopped by a signal, the
partial file kept.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

from puna_fetch.failure import FetchFailed
from puna_fetch.fetch import fetch
from puna_fetch.progress import Reporter
from puna_fetch.request import parse_request
from puna_fetch.termination import failure_document, write_termination


def main() -> NoReturn:
    """Run the program."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Fetch what the arguments ask for; the exit code."""
    reporter = Reporter(_print_line, time.monotonic)
    try:
        request = parse_request(arguments)
        try:
            fetch(request, reporter, _log)
        finally:
            reporter.finish()
    except FetchFailed as failure:
        document = failure_document(failure)
        unwritten = write_termination(document, os.environ)
        if unwritten:
            _log(f"the termination log cannot be written: {unwritten}")
        # The same document ends the log: Kubernetes falls back to it where the termination log is
        # empty.
        print(document, file=sys.stderr, flush=True)  # noqa: T201
        return 1
    _log(f"{request.destination} is in place")
    return 0


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    # A stream may be in the middle of a line, hence the plain write.
    os.write(2, b"puna-fetch: stopped by a signal; what was downloaded is kept\n")
    raise SystemExit(128 + number)


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _log(message: str) -> None:
    print(f"puna-fetch: {message}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
