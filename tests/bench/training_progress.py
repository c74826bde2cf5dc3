"""Two hundred runs tell their progress every second, through the real channel.

Pods on a node agent print lines of progress; the API server reads their logs from the agent for the
operator, which writes statuses. Measured: writes of each TrainingJob's status as the API server's
audit log has them, the age of what is shown, and the operator's CPU time.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from puna.cluster.resources import TRAINING_JOBS
from puna.settings import IMAGE_TRAINER
from puna_cli.cluster.workload import TRAINER_COMMAND, TRAINER_PATHS
from puna_node.config import Profile
from tests.bench.report import Figure, report
from tests.cluster import ControlPlane, eventually, start_control_plane
from tests.node.agents import new_agent
from tests.operator_process import operator
from tests.training_jobs.conftest import claim

JOBS = int(os.environ.get("PUNA_BENCH_JOBS", "200"))
SECONDS = float(os.environ.get("PUNA_BENCH_SECONDS", "60"))
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


def ages(plane: ControlPlane) -> list[float]:
    """Seconds since what is shown of each run was so; of those that show something."""
    found = plane.get(TRAINING_JOBS.path(NAMESPACE)) or {"items": []}
    now = datetime.now(UTC)
    told = [item.get("status", {}).get("progress") for item in found["items"]]
    return [
        (now - datetime.fromisoformat(item["updatedAt"])).total_seconds()
        for item in told
        if item is not None
    ]


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
            start_jobs(plane)
            eventually(lambda: len(ages(plane)) == JOBS, seconds=300, what="all runs to tell")
            time.sleep(10)
            began, cpu, wall = datetime.now(UTC), process.cpu_seconds(), time.monotonic()
            shown: list[float] = []
            while time.monotonic() - wall < SECONDS:
                shown += ages(plane)
                time.sleep(1)
            span = time.monotonic() - wall
            used = process.cpu_seconds() - cpu
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
    return report(
        "training_progress",
        [
            Figure("runs that tell progress every second", JOBS),
            Figure(
                "shortest time between two writes of one status",
                min(gaps),
                "s",
                goal=5.0,
                at_least=True,
            ),
            Figure("time between two writes of one status, median", statistics.median(gaps), "s"),
            Figure("age of what is shown, median", statistics.median(shown), "s"),
            Figure("age of what is shown, 95 %", statistics.quantiles(shown, n=20)[-1], "s"),
            Figure("operator, CPU", 100 * used / span, "% of a core"),
            Figure("operator, most memory", memory, "MiB"),
        ],
        {"seconds": span},
    )


if __name__ == "__main__":
    sys.exit(main())
