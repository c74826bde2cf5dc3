"""Two hundred runs tell their progress every second, through the real channel.

Pods on a node agent print lines of progress; the API server reads their logs from the agent for the
operator, which writes statuses. Measured: writes of each TrainingJob's status as the API server's
audit log has them, the age of what a client of the API server is shown (from the moment when the
trainer wrote a line, so that the way of the line counts), and CPU time of operator and agent.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil

from puna.cluster.resources import TRAINING_JOBS
from puna.settings import IMAGE_TRAINER
from puna_cli.cluster.workload import TRAINER_COMMAND, TRAINER_PATHS
from puna_node.config import Profile
from tests.bench.raw_api import Address, RawApi
from tests.bench.report import Figure, report
from tests.cluster import ControlPlane, eventually, start_control_plane
from tests.node.agents import new_agent
from tests.operator_process import operator
from tests.training_jobs.conftest import claim

JOBS = int(os.environ.get("PUNA_BENCH_JOBS", "200"))
SECONDS = float(os.environ.get("PUNA_BENCH_SECONDS", "60"))
SETTLE_SECONDS = 15
INTERVAL = 5
READS = 4
"""Readings of all statuses in a second."""
NAMESPACE = "default"
USER = "puna-operator"
SENDER = """
import json, sys, time
from datetime import datetime, timezone
step = 0
while True:
    step += 1
    curve = [{"step": n, "loss": 2.0 / (n + 1)} for n in range(24)]
    print(json.dumps({
        "kind": "progress", "stage": "train", "done": ["data"], "epoch": 1, "totalEpochs": 3,
        "step": step, "totalSteps": 100000, "loss": 2.0 / (1 + step), "imagesPerSecond": 100.5,
        "etaSeconds": 100000 - step, "updatedAt": datetime.now(timezone.utc).isoformat(),
        "checkpoints": 0, "curve": curve,
    }), flush=True)
    time.sleep(1)
"""


class Seen(NamedTuple):
    """One status as a client got it."""

    at: datetime
    told: datetime
    """When the trainer wrote what it shows."""


def start_jobs(plane: ControlPlane) -> None:
    """Apply all TrainingJobs at once."""
    plane.apply(*claim(NAMESPACE))
    plane.apply(
        *(
            {
                "apiVersion": TRAINING_JOBS.api_version,
                "kind": TRAINING_JOBS.kind,
                "metadata": {"name": f"run-{number}", "namespace": NAMESPACE},
                "spec": {
                    "task": "ImageClassification",
                    "model": {"name": "cnn_mnist"},
                    "dataset": {"uri": "pvc://runs/data", "format": "idx"},
                    "output": {"persistentVolumeClaim": {"claimName": "runs"}},
                    "accelerator": "cpu",
                },
            }
            for number in range(JOBS)
        )
    )


class Watcher:
    """What a client sees of the statuses: when each came, and what it told the time of."""

    def __init__(self, plane: ControlPlane) -> None:
        self._api = RawApi(Address.of(plane))
        self._path = TRAINING_JOBS.path(NAMESPACE)
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        threading.Thread(target=self._look, daemon=True).start()

    def oldest(self, since: datetime, until: datetime) -> list[float]:
        """Seconds from what was shown to the moment when something newer replaced it."""
        return [
            (after.at - shown.told).total_seconds()
            for seen in list(self.seen.values())
            for shown, after in itertools.pairwise(seen)
            if since <= after.at <= until
        ]

    def ages(self, moment: datetime) -> list[float]:
        """Seconds since what a client sees of each run at a moment was so."""
        return [
            (moment - shown.told).total_seconds()
            for seen in list(self.seen.values())
            if (shown := next((item for item in reversed(seen) if item.at <= moment), None))
        ]

    def _look(self) -> None:
        listed = self._api.call("GET", self._path)
        for event in self._api.watch(self._path, listed["metadata"]["resourceVersion"]):
            now = datetime.now(UTC)
            progress = event["object"].get("status", {}).get("progress")
            if progress is None:
                continue
            told = datetime.fromisoformat(progress["updatedAt"])
            seen = self.seen[event["object"]["metadata"]["name"]]
            if not seen or seen[-1].told != told:
                seen.append(Seen(now, told))


def writes(log: Path, since: datetime, until: datetime) -> dict[str, list[datetime]]:
    """Times of the operator's writes of each TrainingJob's status."""
    found: dict[str, list[datetime]] = defaultdict(list)
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        reference = event.get("objectRef", {})
        if reference.get("resource") != TRAINING_JOBS.plural or event["verb"] != "patch":
            continue
        at = datetime.fromisoformat(event["requestReceivedTimestamp"])
        if since <= at <= until:
            found[reference["name"]].append(at)
    return found


def main() -> int:
    """Measure, print, and say whether the promises hold."""
    folder = Path(tempfile.mkdtemp(prefix="pt-"))
    plane = start_control_plane(folder / "plane", controllers=True, audit_users=[USER])
    profile = Profile(
        image=IMAGE_TRAINER,
        command=TRAINER_COMMAND,
        run=(sys.executable, "-I", "-S", "-c", SENDER),
        path_members=TRAINER_PATHS,
    )
    agent = new_agent(plane, folder, folder, name="senders", profiles=(profile,), max_pods=512)
    try:
        agent.start()
        agent.wait_ready()
        kubeconfig = plane.user_kubeconfig(USER, "system:masters")
        with operator(kubeconfig, folder / "puna.log") as process:
            watcher = Watcher(plane)
            start_jobs(plane)
            eventually(lambda: len(watcher.seen) == JOBS, seconds=300, what="all runs to tell")
            time.sleep(SETTLE_SECONDS)
            assert agent.process is not None
            node = psutil.Process(agent.process.pid)
            began, cpu, wall = datetime.now(UTC), process.cpu_seconds(), time.monotonic()
            node_cpu = used_by(node)
            time.sleep(SECONDS)
            span = time.monotonic() - wall
            used, node_used = process.cpu_seconds() - cpu, used_by(node) - node_cpu
            ended = datetime.now(UTC)
            memory = process.peak_memory_mib()
        counted = writes(plane.audit_log or folder, began, ended)
    finally:
        agent.end()
        plane.stop()
        shutil.rmtree(folder, ignore_errors=True)
    gaps = [
        (later - earlier).total_seconds()
        for times in counted.values()
        for earlier, later in itertools.pairwise(times)
    ]
    most = max(
        INTERVAL * (len(times) - 1) / (times[-1] - times[0]).total_seconds()
        for times in counted.values()
    )
    oldest = watcher.oldest(began, ended)
    read = [
        age
        for number in range(int(SECONDS * READS))
        for age in watcher.ages(began + timedelta(seconds=number / READS))
    ]
    return report(
        "training_progress",
        [
            Figure("runs that tell progress every second", JOBS),
            Figure("writes of one status in 5 s, the busiest run", most, goal=1.01),
            Figure("time between two writes of one status, median", statistics.median(gaps), "s"),
            Figure(
                "shortest time between two writes of one status",
                min(gaps),
                "s",
                goal=4.5,
                at_least=True,
            ),
            Figure("age of what is shown, median", statistics.median(read), "s"),
            Figure(
                "age of what is shown, 95 %", statistics.quantiles(read, n=20)[-1], "s", goal=5.5
            ),
            Figure("age when something newer replaces it, median", statistics.median(oldest), "s"),
            Figure("age when something newer replaces it, most", max(oldest), "s", goal=6.0),
            Figure("operator, CPU", 100 * used / span, "% of a core"),
            Figure("operator, most memory", memory, "MiB"),
            Figure("node agent with all logs, CPU", 100 * node_used / span, "% of a core"),
        ],
        {"seconds": span, "replaced": len(oldest), "load": os.getloadavg()},
    )


def used_by(process: psutil.Process) -> float:
    """CPU seconds that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    sys.exit(main())
