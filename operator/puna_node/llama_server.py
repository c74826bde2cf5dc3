"""llama-server from the `xllamacpp` wheel: `python -m puna_node.llama_server --model FILE ...`.

The same command line, HTTP surface and exit codes as llama.cpp's own binary, for hosts that have
no such binary. It differs in two points: there is no router mode, and after SIGTERM requests in
flight may end (at most `DRAIN_SECONDS`, and only with `--metrics`, which counts them), where
upstream cuts streams and waits for the others.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from puna_node.llama_flags import (
    Assignment,
    EnumMember,
    FileText,
    FlagError,
    KeyFile,
    parse_flags,
)

DRAIN_SECONDS: Final = 25.0
"""Longest wait for requests in flight after SIGTERM; below the usual 30 s of grace."""
POLL_SECONDS: Final = 0.02
LOOKS: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Times after the start between looks at whether the server is still there, in seconds."""
FLUSH_SECONDS: Final = 0.3
"""Time for the last bytes of answers: a slot is free before they are sent."""
_BUSY: Final = re.compile(r"^llamacpp:requests_(?:processing|deferred) ([0-9.]+)", re.MULTILINE)


def read_keys(text: str) -> list[str]:
    """Keys of an API key file: one per line; blank lines and `#` comments are left out."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def busy_requests(metrics: str) -> float:
    """Requests being processed or waiting, according to llama-server's metrics."""
    return sum(float(count) for count in _BUSY.findall(metrics))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the server until SIGTERM or SIGINT; never returns."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--version" in arguments:
        import xllamacpp  # noqa: PLC0415 - 100 MB of library that a bad flag need not load

        _exit(0, f"version: {xllamacpp.__version__} (xllamacpp)")
    try:
        assignments = parse_flags(arguments)
        if not any(assignment.parameter == "model.path" for assignment in assignments):
            raise FlagError("error: --model is required (there is no router mode here)")  # noqa: TRY301
        parameters = build_parameters(assignments)
    except FlagError as error:
        _exit(1, str(error))
    serve(parameters)


def build_parameters(assignments: Sequence[Assignment]) -> Any:
    """`CommonParams` with upstream's defaults of a server and the given assignments.

    Raises:
        FlagError: a file that a flag names cannot be read, or llama.cpp refuses a value.
    """
    import xllamacpp  # noqa: PLC0415 - see main

    parameters = xllamacpp.CommonParams()
    parameters.n_parallel = -1
    parameters.port = 8080
    parameters.cpuparams.n_threads = _default_threads()
    for assignment in assignments:
        *folders, attribute = assignment.parameter.split(".")
        target = parameters
        for folder in folders:
            target = getattr(target, folder)
        try:
            setattr(target, attribute, _value(xllamacpp, assignment.value))
        except (OSError, OverflowError, TypeError, ValueError) as error:
            raise FlagError(
                f'error while handling argument "{assignment.flag}": {error}'
            ) from error
    if parameters.cpuparams_batch.n_threads <= 0:
        parameters.cpuparams_batch.n_threads = parameters.cpuparams.n_threads
    return parameters


def serve(parameters: Any) -> NoReturn:
    """Load the model, answer until SIGTERM or SIGINT, and end the process.

    llama.cpp opens the port first and answers 503 while it loads; a signal in that time ends the
    process at once, as upstream.
    """
    import xllamacpp  # noqa: PLC0415 - see main

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError:
        # The library tells the cause in upstream's words: bind or model, memory or file. A thread
        # of its own writes them, and the library waits for it where a process ends by itself.
        sys.exit("error: the server did not start; llama.cpp's own lines say why")
    stop = threading.Event()

    def on_signal(_number: int, _frame: Any) -> None:
        if stop.is_set():
            _exit(1, "Received second interrupt, terminating immediately.")
        stop.set()

    # llama.cpp has just installed handlers that would tear the server down under its requests.
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if has_to_drain(stop.wait, lambda: _listens(server.listening_address)):
        _drain(server)
    # Destroying the server with a request in flight blocks for about 30 s, so it is left to the
    # kernel.
    _exit(0, "")


def has_to_drain(stop: Callable[[float | None], bool], listens: Callable[[], bool]) -> bool:
    """Wait until the server is to end; return False if it has ended by itself.

    A signal between llama.cpp's handlers and ours ends it without our being told, and on a busy
    machine it goes on listening for a while: it is looked at several times, less and less often.

    Args:
        stop: Waits for our signal, at most so many seconds; returns whether it has come.
        listens: Whether the server is there.
    """
    for pause in LOOKS:
        if stop(pause):
            return True
        if not listens():
            return False
    return stop(None)


def _drain(server: Any) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    worked = False
    while time.monotonic() < deadline:
        answer = server.handle_metrics()
        text = answer.decode() if isinstance(answer, bytes) else str(answer)
        if busy_requests(text) == 0:
            break
        worked = True
        time.sleep(POLL_SECONDS)
    if worked:
        time.sleep(FLUSH_SECONDS)


def _listens(address: str) -> bool:
    """Whether the server is still there."""
    url = urlsplit(address)
    if url.hostname is None or url.port is None:
        return True
    try:
        with socket.create_connection((url.hostname, url.port), timeout=1):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True


def _value(library: Any, value: Any) -> Any:
    match value:
        case EnumMember(enumeration, name):
            return getattr(getattr(library, enumeration), name)
        case FileText(path):
            return Path(path).read_text(encoding="utf-8")
        case KeyFile(path):
            return read_keys(Path(path).read_text(encoding="utf-8"))
        case _:
            return value


def _default_threads() -> int:
    processors = os.cpu_count() or 1
    # Above four, half of the processors are hyper-threads as a rule, which only get in the way.
    return processors if processors <= 4 else processors // 2  # noqa: PLR2004


def _exit(code: int, message: str) -> NoReturn:
    if message:
        sys.stderr.write(message + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
