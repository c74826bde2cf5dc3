"""A real S3 server: versitygw over a folder."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.charts.go_tools import VERSITYGW, built
from tests.ports import free_port

START_SECONDS = 30
ACCESS, SECRET = "someone", "someones-secret"


@dataclass(frozen=True)
class Store:
    """The server, and the folder that holds its buckets."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_REGION": "us-east-1",
        }

    def put(self, path: str, data: bytes) -> Path:
        """Put an object where the server finds it."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target


@contextmanager
def running(folder: Path) -> Iterator[Store]:
    """Serve the folder, whose folders are buckets."""
    (folder / "bucket").mkdir(parents=True)
    port = free_port()
    with (folder.parent / "store.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(built(VERSITYGW), "--port", f"127.0.0.1:{port}", "--health", "/health"),
                *("--access", ACCESS, "--secret", SECRET, "posix", folder),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder.parent,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/health")
        yield Store(folder, port)
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own server
                return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
