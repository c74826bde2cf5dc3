"""Compiled stub servers and compiled load, both on the processor that is not the router's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.bench.compiled import program
from tests.bench.processors import LOAD_CORE, pinned
from tests.router.stub import PROCESS

CHAT = "/v1/chat/completions"


def flags(options: Mapping[str, object]) -> list[str]:
    """Flags from options: `warm_up="1s"` becomes `-warm-up=1s`."""
    return [f"-{name.replace('_', '-')}={value}" for name, value in options.items()]


class StubServers:
    """Servers of one process, each with counts of its own."""

    def __init__(self, count: int = 1, *, listen: Sequence[str] = (), **options: object) -> None:
        listen = listen or ["127.0.0.1:0"] * count
        self._process = subprocess.Popen(
            [
                *(*pinned(LOAD_CORE), str(program()), "serve"),
                *(f"-listen={','.join(listen)}", *flags(options)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.addresses = self._process.stdout.readline().strip().split(",")
        self._client = httpx.Client(timeout=10)

    @property
    def urls(self) -> list[str]:
        return [f"http://{address}" for address in self.addresses]

    def backends(self, *processes: str) -> list[dict[str, Any]]:
        """Them as members of a router file; with process hashes, one each."""
        found = []
        for number, address in enumerate(self.addresses):
            host, port = address.split(":")
            process = processes[number] if processes else PROCESS
            found.append({"address": host, "port": int(port), "process": process})
        return found

    def counts(self, number: int) -> dict[str, int]:
        """What one server saw since its reset."""
        return dict(self._client.get(f"{self.urls[number]}/lab").json())

    def reset(self) -> None:
        """Count anew."""
        for url in self.urls:
            self._client.get(f"{url}/lab/reset")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a load generator saw; times in milliseconds."""

    seconds: float
    answers: int
    rate: float
    statuses: dict[str, int]
    errors: dict[str, int]
    most_open: int
    latency: dict[str, float]
    first: dict[str, float]
    delay: dict[str, float]

    @property
    def failed(self) -> int:
        """Requests without an answer of status 200."""
        others = sum(count for status, count in self.statuses.items() if status != "200")
        return others + sum(self.errors.values())


class Load:
    """A load generator under way."""

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, **options: object
    ) -> None:
        given = [f"-header={name}: {value}" for name, value in (headers or {}).items()]
        self._process = subprocess.Popen(
            [
                *(*pinned(LOAD_CORE), str(program()), "load"),
                *(f"-url={url}", *given, *flags(options)),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def running(self) -> bool:
        """Whether it still sends."""
        return self._process.poll() is None

    def stop(self) -> Traffic:
        """Let it send nothing more; what it saw."""
        self._process.terminate()
        return self.result()

    def result(self, seconds: float = 120) -> Traffic:
        """What it saw, once it has ended."""
        told = json.loads(self._process.communicate(timeout=seconds)[0])
        told["most_open"] = told.pop("mostOpen")
        return Traffic(**told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running():
            self._process.kill()
            self._process.communicate()


def run_load(url: str, *, seconds: float = 120, **options: Any) -> Traffic:
    """Load until its end, for which it has so many seconds."""
    with Load(url, **options) as load:
        return load.result(seconds)
