"""The API server's audit log: what the operator asked for, whatever it says itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(slots=True)
class Requests:
    """Requests of one user in a stretch of the log; watches apart."""

    kinds: Counter[str] = field(default_factory=Counter)
    """By verb and resource."""
    writes: Counter[str] = field(default_factory=Counter)
    """By name of the object."""
    refused: Counter[str] = field(default_factory=Counter)
    """Those that failed, by verb, resource and status."""


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The log file, and the user who is looked for."""

    path: Path
    user: str

    def mark(self) -> int:
        """Place in the log up to now."""
        return self.path.stat().st_size

    def since(self, mark: int) -> Requests:
        """What was asked after a mark."""
        found = Requests()
        with self.path.open("rb") as log:
            log.seek(mark)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                if event["user"]["username"] == self.user and event["verb"] != "watch":
                    _count(event, found)
        return found


def _count(event: dict[str, dict[str, str]], found: Requests) -> None:
    verb, target = str(event["verb"]), event.get("objectRef", {})
    resource = "/".join(
        part for part in (target.get("resource"), target.get("subresource")) if part
    )
    found.kinds[f"{verb} {resource}"] += 1
    if verb in WRITES:
        found.writes[target.get("name", "")] += 1
    code = int(event.get("responseStatus", {}).get("code", 0))
    if code >= 300:
        found.refused[f"{verb} {resource} {code}"] += 1
