"""Sightings: when a watcher in a process of its own first saw each child, and what became of it.

Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tests.bench.raw_api import Address, RawApi

SYNCED = "SYNCED"


class Sighting(NamedTuple):
    """One event of a watched collection."""

    at: float
    collection: str
    event: str
    owner: str
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Collections:
    """Paths of what is watched."""

    children: str
    resources: str


class Sightings:
    """What watches have shown so far."""

    def __init__(self, address: Address, collections: Collections) -> None:
        self._news = threading.Condition()
        self._synced: set[str] = set()
        self.born: dict[str, list[tuple[float, str]]] = {}
        """Time and uid of every child, by owner."""
        self.states: dict[str, list[tuple[float, int]]] = {}
        """Replicas of children over time, by owner."""
        self.alive: dict[str, str] = {}
        """Owners of living children, by uid."""
        self.events = 0
        context = multiprocessing.get_context("spawn")
        self._processes = []
        for path in (collections.children, collections.resources):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=look, args=(address, path, sender), daemon=True)
            process.start()
            sender.close()
            self._processes.append(process)
            threading.Thread(target=self._collect, args=(receiver,), daemon=True).start()
        self._children = collections.children
        self.until(lambda: len(self._synced) == len(self._processes), 30)

    def until(self, fact: Callable[[], bool], seconds: float) -> bool:
        """Wait for a fact about what was seen; whether it came."""
        with self._news:
            return self._news.wait_for(fact, seconds)

    def first(self, owner: str, *, besides: frozenset[str] = frozenset()) -> float | None:
        """When an owner's first child was seen, some uids apart."""
        return next((at for at, uid in self.born.get(owner, ()) if uid not in besides), None)

    def reached(self, owner: str, replicas: int, since: float) -> float | None:
        """When a child of an owner was first seen with some replicas, after a time."""
        return next(
            (at for at, state in self.states.get(owner, ()) if state == replicas and at >= since),
            None,
        )

    def stop(self) -> None:
        """End the watchers."""
        for process in self._processes:
            process.terminate()
            process.join(5)

    def _collect(self, receiver: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                rows: list[Sighting] = receiver.recv()
                with self._news:
                    for row in rows:
                        self._take(row)
                    self._news.notify_all()

    def _take(self, row: Sighting) -> None:
        if row.event == SYNCED:
            self._synced.add(row.collection)
            return
        self.events += 1
        if row.collection != self._children or not row.owner:
            return
        if row.event == "DELETED":
            self.alive.pop(row.uid, None)
            return
        if row.uid not in self.alive:
            self.alive[row.uid] = row.owner
            self.born.setdefault(row.owner, []).append((row.at, row.uid))
        states = self.states.setdefault(row.owner, [])
        if not states or states[-1][1] != row.replicas:
            states.append((row.at, row.replicas))


def look(address: Address, path: str, sender: Connection) -> None:
    """Body of a watcher's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    api = RawApi(address)
    with suppress(BrokenPipeError, EOFError):
        while True:
            answer = api.call("GET", path)
            at = time.monotonic()
            rows = [sighting(at, path, "LISTED", item) for item in answer["items"] or []]
            sender.send([*rows, Sighting(at, path, SYNCED, "", "", 0)])
            for event in api.watch(path, answer["metadata"]["resourceVersion"]):
                at = time.monotonic()
                if event["type"] == "ERROR":
                    break
                if event["type"] != "BOOKMARK":
                    sender.send([sighting(at, path, event["type"], event["object"])])


def sighting(at: float, path: str, event: str, manifest: Any) -> Sighting:
    """One object as it was seen."""
    metadata = manifest["metadata"]
    owner = next(
        (item["name"] for item in metadata.get("ownerReferences", ()) if item.get("controller")), ""
    )
    replicas = manifest.get("spec", {}).get("replicas", 0)
    return Sighting(at, path, event, owner, metadata["uid"], replicas)
