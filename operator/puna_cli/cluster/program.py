"""Programs of a cluster as values, and which of them to start and stop. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

STOP_ORDER = (
    ("operator", "front-control", "front"),
    ("controller-manager", "scheduler"),
    ("agent",),
    ("apiserver",),
    ("etcd",),
)
"""Who is ended when: nobody makes Pods any more, then the Pods, then what stored them."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process that a cluster needs."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to what every process gets."""
    inputs: tuple[Path, ...] = ()
    """Files that it reads once, at its start: other contents need a restart."""
    stop_seconds: float = 10
    """Time between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was started under a program's name."""

    pid: int
    started: float
    """Start time as the kernel tells it, in seconds since the epoch; tells a reused pid apart."""
    digest: str


def digest(program: Program, contents: Sequence[bytes]) -> str:
    """Identity of what would be started: equal digests make a restart pointless."""
    parts = [*program.argv, json.dumps(dict(program.environment), sort_keys=True)]
    fingerprints = [sha256(content).hexdigest() for content in contents]
    return sha256("\0".join([*parts, *fingerprints]).encode()).hexdigest()[:16]


def outdated(digests: Mapping[str, str], running: Mapping[str, Record]) -> list[str]:
    """Names of programs that run, but not as they should."""
    return [name for name, record in running.items() if digests.get(name) != record.digest]


def in_stop_order(names: Iterable[str]) -> list[list[str]]:
    """Groups of names to end one after the other; unknown names go first."""
    wanted = set(names)
    known = {name for group in STOP_ORDER for name in group}
    groups = [sorted(wanted - known), *([n for n in group if n in wanted] for group in STOP_ORDER)]
    return [group for group in groups if group]


def split_at_pods(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """What ends before the Pods do, and what after them: the API server and its storage."""
    chosen = list(names)
    storage = {"apiserver", "etcd"}
    return [n for n in chosen if n not in storage], [n for n in chosen if n in storage]


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What every process gets of the user's environment: where things are, no credentials."""
    kept = (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR", "TZ"),
        *("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV"),
    )
    chosen = {name: environment[name] for name in kept if name in environment}
    # `python -m` must find installed packages only, wherever the user stands.
    return chosen | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
