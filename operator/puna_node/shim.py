"""Parent process of one container's process: writes its log and records how it ended.

Started as a file of its own (`python -I -S shim.py`), ahead of need, and used for one attempt; it
imports the standard library only. The agent may die and come back while the shim goes on: the lock
that it is handed says that it lives, its folder holds what happened. It is the process's parent, so
a process that wants to end with its parent ends with the shim, not with the agent.

Standard input is a socket. One JSON object comes over it, and with it descriptors to keep open (the
lock of the attempt is one):
    argv, environment, directory, folder (for `run.json` and `exit.json`), log (path), max_bytes,
    max_files, user (uid or null)
The answer is one line of JSON (`pid`, `started_at`, or `error`). A socket that closes before ends
the shim: its agent is gone, and nothing was started.
SIGTERM is passed on to the process, SIGUSR1 kills its whole group. When the process has ended, what
is left of its group is killed too, as a container's processes end with its first one.
"""

# pathlib would double the time to start.
# ruff: noqa: PTH104, PTH110, PTH118, PTH123

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from typing import Any, Final

CHUNK: Final = 65536
LONGEST_LINE: Final = 16384
MOST_DESCRIPTORS: Final = 8
EXEC_FAILED: Final = 128
"""Exit code where the process could not be started, as container runtimes have it."""


def timestamp() -> str:
    """Now in RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)) + f"{nanoseconds:09d}Z"


class Log:
    """A log file in the CRI format (`time stream F|P line`) that is rotated by size."""

    def __init__(self, path: str, max_bytes: int, max_files: int) -> None:
        self.path, self.max_bytes, self.max_files = path, max_bytes, max_files
        self.rest = {"stdout": b"", "stderr": b""}
        self.open()

    def open(self) -> None:
        """Open the newest file."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.file = os.open(self.path, flags, 0o600)
        self.size = os.fstat(self.file).st_size

    def feed(self, stream: str, data: bytes) -> None:
        """Write the complete lines of what came from a stream, and parts of overlong ones."""
        prefix = f"{timestamp()} {stream} ".encode()
        *lines, rest = (self.rest[stream] + data).split(b"\n")
        out = []
        for line in lines:
            while len(line) > LONGEST_LINE:
                out.append(prefix + b"P " + line[:LONGEST_LINE] + b"\n")
                line = line[LONGEST_LINE:]  # noqa: PLW2901 - the rest of the same line
            out.append(prefix + b"F " + line + b"\n")
        while len(rest) > LONGEST_LINE:
            out.append(prefix + b"P " + rest[:LONGEST_LINE] + b"\n")
            rest = rest[LONGEST_LINE:]
        self.rest[stream] = rest
        self.write(b"".join(out))

    def finish(self) -> None:
        """Write what came without a line end."""
        for stream, rest in self.rest.items():
            if rest:
                self.write(f"{timestamp()} {stream} P ".encode() + rest + b"\n")

    def write(self, data: bytes) -> None:
        """Append, rotating a full file first; a full disk costs lines, never the process."""
        if not data:
            return
        try:
            if self.size and self.size + len(data) > self.max_bytes:
                self.rotate()
            view = memoryview(data)
            while view:
                written = os.write(self.file, view)
                self.size += written
                view = view[written:]
        except OSError:
            return

    def rotate(self) -> None:
        """Shift `log` to `log.1` and so on; the oldest is overwritten."""
        os.close(self.file)
        for number in range(self.max_files - 1, 0, -1):
            older = f"{self.path}.{number}"
            newer = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.exists(newer):
                os.rename(newer, older)
        self.open()


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Specification that the agent sends; None where it went away instead."""
    data, descriptors, _flags, _address = socket.recv_fds(connection, CHUNK, MOST_DESCRIPTORS)
    for descriptor in descriptors:
        # The process must not hold the lock: it would seem to live on without its shim.
        os.set_inheritable(descriptor, False)  # noqa: FBT003
    parts = [data]
    while data:
        data = connection.recv(CHUNK)
        parts.append(data)
    text = b"".join(parts)
    return json.loads(text) if text else None


def write_json(path: str, document: dict[str, Any]) -> None:
    """Write a document whole or not at all."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.rename(temporary, path)


def start(spec: dict[str, Any], out: int, err: int) -> tuple[int, str]:
    """Fork and execute; returns the pid and, where it could not be executed, why."""
    failed, fails = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGUSR1):
                signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            os.chdir(spec["directory"])
            if spec["user"] is not None:
                os.setgroups([])
                os.setgid(spec["user"])
                os.setuid(spec["user"])
            os.umask(0o027)
            os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606
        except OSError as error:
            os.write(fails, f"{error.strerror}: {error.filename or spec['argv'][0]}".encode())
        finally:
            os._exit(EXEC_FAILED)
    os.close(fails)
    reason = os.read(failed, 4096).decode()
    os.close(failed)
    return pid, reason


def pump(log: Log, stream: str, descriptor: int) -> bool:
    """Move what a stream has now into the log; False at its end."""
    try:
        data = os.read(descriptor, CHUNK)
    except BlockingIOError:
        return True
    log.feed(stream, data)
    return bool(data)


def follow(log: Log, pid: int, streams: dict[int, str], wake: int) -> int:
    """Write the log until the process ends; returns its wait status."""
    poller = select.poll()
    for descriptor in (*streams, wake):
        poller.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _event in poller.poll():
            if descriptor == wake:
                os.read(wake, CHUNK)
            elif not pump(log, streams[descriptor], descriptor):
                poller.unregister(descriptor)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status


def kill_group(pid: int) -> None:
    """Kill every process of the group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def main() -> None:
    """Run one attempt."""
    with socket.socket(fileno=0) as connection:
        spec = receive(connection)
        if spec is not None:
            run(spec, connection)
    os._exit(0)


def run(spec: dict[str, Any], connection: socket.socket) -> None:
    """Run the process to its end."""
    log = Log(spec["log"], spec["max_bytes"], spec["max_files"])
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    wake_read, wake_write = os.pipe()
    for descriptor in (out_read, err_read, wake_read, wake_write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    started_at = timestamp()
    pid, problem = start(spec, out_write, err_write)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(pid, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda _number, _frame: kill_group(pid))
    os.close(out_write)
    os.close(err_write)
    record = {"shim": os.getpid(), "pid": pid, "argv": spec["argv"], "started_at": started_at}
    write_json(os.path.join(spec["folder"], "run.json"), record)
    answer = {"error": problem} if problem else {"pid": pid, "started_at": started_at}
    try:
        connection.sendall(json.dumps(answer).encode() + b"\n")
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the agent went away meanwhile; the next one finds the files

    streams = {out_read: "stdout", err_read: "stderr"}
    status = follow(log, pid, streams, wake_read)
    finished_at = timestamp()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pid may be another process's from here on
    kill_group(pid)
    for descriptor, stream in streams.items():
        while select.select([descriptor], [], [], 0)[0] and pump(log, stream, descriptor):
            pass
    log.finish()
    code = os.waitstatus_to_exitcode(status)
    write_json(
        os.path.join(spec["folder"], "exit.json"),
        {
            "code": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else 0,
            "error": problem,
            "started_at": started_at,
            "finished_at": finished_at,
        },
    )


if __name__ == "__main__":
    main()
