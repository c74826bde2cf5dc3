"""How fast, and at what cost, the operator turns LLMEndpoints into children on a real API server.

A control plane with controllers and scheduler but no nodes, the operator as a user of its own whose
requests the API server logs, and a watcher in a process of its own whose clock nothing holds up.

    python -m tests.bench.reconcile [--burst 500] [--steady 60]

Phases: single creates; a burst; a minute in which nothing happens; updates, one by one and many at
once; Deployments deleted behind the operator's back; a restart.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from puna.api.crd import custom_resource_definitions
from tests.bench.audit import AuditLog, Requests
from tests.bench.raw_api import Address, RawApi
from tests.bench.report import Figure, report
from tests.bench.sightings import Collections, Sightings
from tests.cluster import ControlPlane, eventually, start_control_plane
from tests.operator_process import OperatorProcess, start_operator

USER = "puna-operator"
ENDPOINTS = "/apis/puna.dev/v1alpha1/namespaces/default/llmendpoints"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
THREADS = 8
SINGLES = 20
SERIAL_UPDATES = 20
UPDATES = 100
UPDATED_REPLICAS = 3
DELETES = 20
PAUSE_SECONDS = 0.3
IDLE_SECONDS = 5.0
PATIENCE_SECONDS = 180.0
BUSY_SHARE = 0.15
"""Share of all cores that others may use when the measurement begins."""


@dataclass(slots=True)
class Bench:
    """One run."""

    plane: ControlPlane
    api: RawApi
    seen: Sightings
    audit: AuditLog
    folder: Path
    burst: int
    steady: float
    operator: OperatorProcess = field(init=False)
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The endpoints of the burst."""
        return [f"burst-{number:04}" for number in range(self.burst)]

    def run(self) -> None:
        """All phases in order."""
        self.create("first")
        self.start()
        self.await_first("first", "start, to the first Deployment", self.operator.started)
        self.quiet()
        self.note("memory with 1 endpoint", self.operator.memory_mib(), "MiB")
        self.single_creates()
        self.burst_of_creates()
        self.steady_state()
        self.updates_one_by_one()
        self.updates_at_once()
        self.restore_deleted()
        self.restart()

    def start(self) -> None:
        """Start the operator."""
        kubeconfig = self.plane.user_kubeconfig(USER, "system:masters")
        self.operator = start_operator(kubeconfig, self.folder / "puna.log")

    def create(self, name: str) -> float:
        """Create an endpoint; the time when the API server had it."""
        self.api.call("POST", ENDPOINTS, endpoint(name))
        self.made[name] = time.monotonic()
        return self.made[name]

    def at_once(self, work: Callable[[str], float], names: Iterable[str]) -> list[float]:
        """Do the same for many from some threads."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(work, names))

    def quiet(self) -> float:
        """Wait until the operator writes nothing and nothing changes; when that began."""
        began = last = time.monotonic()
        before = (-1, -1)
        while time.monotonic() - last < IDLE_SECONDS:
            if time.monotonic() - began > PATIENCE_SECONDS:
                raise RuntimeError(f"no rest within {PATIENCE_SECONDS} s")
            time.sleep(0.5)
            now = (self.audit.mark(), self.seen.events)
            if now != before:
                before, last = now, time.monotonic()
        return last

    def note(self, name: str, value: float, unit: str = "", goal: float | None = None) -> None:
        """Keep one figure."""
        self.figures.append(Figure(name, value, unit, goal=goal))
        print(f"{time.strftime('%T')} {name}: {value:.4g} {unit}", flush=True)

    def keep(self, phase: str, requests: Requests) -> None:
        """Keep what the operator asked for in a phase."""
        self.details[phase] = {
            "requests": dict(requests.kinds),
            "refused": dict(requests.refused),
        }

    def latencies(
        self, name: str, times: Sequence[float], *, unit: str = "ms", goal: float | None = None
    ) -> None:
        """Keep median and 95th percentile."""
        factor = 1000 if unit == "ms" else 1
        ordered = sorted(times)
        late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        self.note(f"{name} p50", factor * statistics.median(ordered), unit)
        self.note(f"{name} p95", factor * late, unit, goal)

    def await_first(self, name: str, what: str, since: float, goal: float | None = None) -> None:
        """Wait for an endpoint's first Deployment and keep how long it took."""
        if not self.seen.until(lambda: self.seen.first(name) is not None, PATIENCE_SECONDS):
            raise RuntimeError(f"no Deployment of {name}: {self.operator.text()[-2000:]}")
        self.note(what, (self.seen.first(name) or 0) - since, "s", goal)

    def single_creates(self) -> None:
        """Create endpoints one after the other."""
        mark, cpu = self.audit.mark(), self.operator.cpu_seconds()
        times = []
        for number in range(SINGLES):
            name = f"single-{number}"
            created = self.create(name)
            self.seen.until(lambda name=name: self.seen.first(name) is not None, 60)  # type: ignore[misc]
            times.append((self.seen.first(name) or time.monotonic()) - created)
            time.sleep(PAUSE_SECONDS)
        self.latencies("single create", times, goal=8.0)
        self.quiet()
        spent = self.operator.cpu_seconds() - cpu
        self.note("single create, CPU per endpoint", 1000 * spent / SINGLES, "ms")
        self.keep("single creates", self.audit.since(mark))
        names = {f"single-{number}" for number in range(SINGLES)}
        self.at_once(self.delete, names)
        self.seen.until(lambda: not names & set(self.seen.alive.values()), 120)
        self.quiet()

    def delete(self, name: str) -> float:
        """Delete an endpoint."""
        self.api.call("DELETE", f"{ENDPOINTS}/{name}", allowed=(404,))
        return time.monotonic()

    def burst_of_creates(self) -> None:
        """Create all endpoints at once and wait until everything is at rest."""
        mark, cpu, began = self.audit.mark(), self.operator.cpu_seconds(), time.monotonic()
        self.at_once(self.create, self.names)
        wanted = set(self.names)
        if not self.seen.until(lambda: wanted <= self.seen.born.keys(), PATIENCE_SECONDS):
            missing = len(wanted - self.seen.born.keys())
            raise RuntimeError(f"{missing} Deployments are missing: {self.operator.text()[-2000:]}")
        spent = self.operator.cpu_seconds() - cpu
        last = max(self.seen.first(name) or 0.0 for name in self.names)
        count = f"burst of {self.burst}"
        self.note(f"{count}, to the last Deployment", last - began, "s", 18.0)
        self.note(f"{count}, CPU until then", spent, "s", 6.0)
        waits = [(self.seen.first(name) or 0.0) - self.made[name] for name in self.names]
        self.latencies(f"{count}, each", waits, unit="s")
        rest = self.quiet()
        requests = self.audit.since(mark)
        self.note(f"{count}, until quiet", rest - began, "s")
        self.note(f"{count}, CPU until quiet", self.operator.cpu_seconds() - cpu, "s", 12.0)
        writes = sum(n for name, n in requests.writes.items() if name.startswith("burst-"))
        self.note(f"{count}, writes each", writes / self.burst, "", 7.0)
        shared = sum(requests.writes.values()) - writes
        self.note(f"{count}, writes to what they share", shared)
        self.note(f"{count}, peak memory", self.operator.peak_memory_mib(), "MiB", 150.0)
        self.keep("burst", requests)

    def steady_state(self) -> None:
        """Let nothing happen."""
        before = self.versions()
        mark, cpu = self.audit.mark(), self.operator.cpu_seconds()
        time.sleep(self.steady)
        spent = self.operator.cpu_seconds() - cpu
        requests = self.audit.since(mark)
        after = self.versions()
        self.note("steady state, CPU", spent, "s", 0.1)
        self.note("steady state, writes", sum(requests.writes.values()), "", 0)
        changed = sum(after[uid] != version for uid, version in before.items())
        self.note("steady state, objects changed", changed, "", 0)
        self.keep("steady state", requests)

    def versions(self) -> dict[str, str]:
        """Versions of all endpoints and Deployments by uid."""
        items = [
            item
            for path in (ENDPOINTS, DEPLOYMENTS)
            for item in self.api.call("GET", path)["items"]
        ]
        return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}

    def update(self, name: str, replicas: int) -> float:
        """Scale an endpoint; the time when the API server had it."""
        self.api.call(
            "PATCH",
            f"{ENDPOINTS}/{name}",
            {"spec": {"replicas": replicas}},
            content_type="application/merge-patch+json",
        )
        return time.monotonic()

    def updates_one_by_one(self) -> None:
        """Scale endpoints one after the other."""
        times = []
        for number, name in enumerate(self.names[:SERIAL_UPDATES]):
            sent, replicas = time.monotonic(), 0 if number % 2 else 2
            done = self.update(name, replicas)

            def reached(name: str = name, replicas: int = replicas, sent: float = sent) -> bool:
                return self.seen.reached(name, replicas, sent) is not None

            self.seen.until(reached, 60)
            times.append((self.seen.reached(name, replicas, sent) or time.monotonic()) - done)
            time.sleep(PAUSE_SECONDS)
        self.latencies("single update", times)
        self.quiet()

    def updates_at_once(self) -> None:
        """Scale many endpoints at once."""
        names, sent = self.names[-UPDATES:], time.monotonic()
        done = self.at_once(lambda name: self.update(name, UPDATED_REPLICAS), names)

        def all_reached() -> bool:
            return all(
                self.seen.reached(name, UPDATED_REPLICAS, sent) is not None for name in names
            )

        if not self.seen.until(all_reached, PATIENCE_SECONDS):
            raise RuntimeError("updates have not arrived")
        times = [
            (self.seen.reached(name, UPDATED_REPLICAS, sent) or 0.0) - at
            for name, at in zip(names, done, strict=True)
        ]
        self.latencies(f"{UPDATES} updates at once", times, unit="s", goal=1.0)
        self.quiet()

    def restore_deleted(self) -> None:
        """Delete Deployments behind the operator's back."""
        names = self.names[:DELETES]
        items = self.api.call("GET", DEPLOYMENTS)["items"]
        owners = {owner_of(item): item["metadata"] for item in items}
        before = frozenset(owners[name]["uid"] for name in names)

        def kill(name: str) -> float:
            body = {"propagationPolicy": "Background"}
            self.api.call("DELETE", f"{DEPLOYMENTS}/{owners[name]['name']}", body)
            return time.monotonic()

        done = self.at_once(kill, names)

        def all_back() -> bool:
            return all(self.seen.first(name, besides=before) is not None for name in names)

        if not self.seen.until(all_back, PATIENCE_SECONDS):
            raise RuntimeError("deleted Deployments have not come back")
        times = [
            (self.seen.first(name, besides=before) or 0.0) - at
            for name, at in zip(names, done, strict=True)
        ]
        self.latencies(f"{DELETES} deleted Deployments back", times, unit="s", goal=0.5)
        self.quiet()

    def restart(self) -> None:
        """Start the operator anew, with one new endpoint among all the old ones."""
        self.note("memory at rest", self.operator.memory_mib(), "MiB")
        self.operator.stop()
        self.create("again")
        mark, before = self.audit.mark(), self.versions()
        self.start()
        self.await_first("again", "restart, to a new Deployment", self.operator.started, 1.5)
        self.quiet()
        requests = self.audit.since(mark)
        writes = {
            name: count
            for name, count in requests.writes.items()
            if not name.startswith("again") and name != "puna-router"
        }
        self.note("restart, writes to unchanged endpoints", sum(writes.values()), "", 0)
        again = {item["metadata"]["uid"] for item in [self.api.call("GET", f"{ENDPOINTS}/again")]}
        after = self.versions()
        changed = sum(after[uid] != version for uid, version in before.items() if uid not in again)
        self.note("restart, unchanged objects that changed", changed, "", 0)
        self.note("restart, CPU", self.operator.cpu_seconds(), "s")
        self.keep("restart", requests)


def endpoint(name: str) -> dict[str, Any]:
    """An LLMEndpoint."""
    return {
        "apiVersion": "puna.dev/v1alpha1",
        "kind": "LLMEndpoint",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "model": {"uri": "https://models.example/tiny.gguf", "sha256": "0" * 64},
            "accelerator": "cpu",
            "replicas": 1,
        },
    }


def owner_of(manifest: Any) -> str:
    """Name of an object's controller."""
    owners = manifest["metadata"].get("ownerReferences", ())
    return next((item["name"] for item in owners if item.get("controller")), "")


def await_idle_machine() -> float:
    """Wait a while for others to finish; the share of all cores that they still use."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (busy := psutil.cpu_percent(3) / 100) > BUSY_SHARE and time.monotonic() < deadline:
        pass
    return busy


def main() -> int:
    """Measure, print, and say whether the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst", type=int, default=500)
    parser.add_argument("--steady", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="puna-") as name:
        folder = Path(name)
        plane = start_control_plane(folder / "plane", controllers=True, audit_users=[USER])
        try:
            definitions = custom_resource_definitions()
            plane.apply(*definitions)
            address = Address.of(plane)
            eventually(lambda: plane.get(ENDPOINTS), what="the custom resources")
            assert plane.audit_log is not None
            bench = Bench(
                plane,
                RawApi(address),
                Sightings(address, Collections(DEPLOYMENTS, ENDPOINTS)),
                AuditLog(plane.audit_log, USER),
                folder,
                options.burst,
                options.steady,
            )
            busy = await_idle_machine()
            bench.note("share of the machine that others used before", busy)
            try:
                bench.run()
            finally:
                bench.operator.kill()
                bench.seen.stop()
        finally:
            plane.stop()
    return report("reconcile", bench.figures, bench.details)


if __name__ == "__main__":
    sys.exit(main())
