"""How long a user waits for a local cluster: `puna up`, `up` again, `demo`, `down`.

Programs and model are in the caches, as they are for every run but the first.
"""

from __future__ import annotations

import statistics
import sys
import time

from tests.bench.report import Figure, report
from tests.cluster import CommandHome, command_home

RUNS = 3


def seconds(home: CommandHome, *arguments: str) -> float:
    """Time of one command, which has to succeed."""
    began = time.monotonic()
    done = home.puna(*arguments, "--name=bench", seconds=300)
    if done.returncode != 0:
        raise RuntimeError(f"puna {' '.join(arguments)}: {done.stdout}\n{done.stderr}")
    return time.monotonic() - began


def run(home: CommandHome) -> dict[str, float]:
    """Times of one life of a cluster."""
    times = {
        "up, from nothing": seconds(home, "up"),
        "up, all running": seconds(home, "up"),
        "status": seconds(home, "status"),
        "down": seconds(home, "down"),
        "up, data kept": seconds(home, "up"),
    }
    seconds(home, "down", "--purge")
    times["demo, second run"] = seconds(home, "demo")
    times["demo, all running"] = seconds(home, "demo")
    seconds(home, "down", "--purge")
    return times


def main() -> int:
    """Measure, print, and say whether the promises hold."""
    with command_home() as home:
        # The model file is put together in the first run of all.
        seconds(home, "demo")
        seconds(home, "down", "--purge")
        runs = [run(home) for _ in range(RUNS)]
    goals = {"demo, second run": 25.0}
    return report(
        "local_cluster",
        [
            Figure(name, statistics.median(run[name] for run in runs), "s", goal=goals.get(name))
            for name in runs[0]
        ],
        {"runs": runs},
    )


if __name__ == "__main__":
    sys.exit(main())
