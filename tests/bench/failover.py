"""A killed server and a sick one under traffic: what fails, and how long until it is out."""

from __future__ import annotations

import sys

from tests.bench.clusters import bench_stage
from tests.bench.report import Figure, report
from tests.e2e.failing import (
    HEALTH_INTERVAL_SECONDS,
    HEALTH_THRESHOLD,
    SLOTS,
    kill_a_server,
    make_unhealthy,
)

ROUNDS = 3
AFTER_SECONDS = 5.0


def main() -> int:
    """Kill and sicken a few times over, each time a fresh endpoint; report the worst."""
    bound = HEALTH_THRESHOLD * HEALTH_INTERVAL_SECONDS * 1.1 + 0.5
    with bench_stage() as stage:
        kills = []
        for _ in range(ROUNDS):
            server = {"slots": SLOTS, "contextLength": 8192, "threads": 1}
            stage.apply(
                stage.preset("many", server=server),
                stage.endpoint(model=stage.models.slow, preset="many", replicas=2),
            )
            stage.wait_ready()
            kills.append(kill_a_server(stage, seconds=AFTER_SECONDS))
            print(kills[-1], flush=True)
            stage.delete_everything()
        stage.apply(stage.endpoint())
        stage.wait_ready()
        sick = [make_unhealthy(stage) for _ in range(ROUNDS)]
        print(*sick, sep="\n", flush=True)
        stage.delete_everything()
    return report(
        "failover",
        [
            Figure("plain requests", sum(item.plain for item in kills)),
            Figure("plain failed", sum(len(item.failed_plain) for item in kills), goal=0),
            Figure("streams", sum(item.streams for item in kills)),
            Figure("streams of the killed server", sum(item.broken_streams for item in kills)),
            Figure(
                "other streams broken", sum(len(item.blameless_broken) for item in kills), goal=0
            ),
            Figure("killed: excluded", max(i.excluded_seconds for i in kills), "s", goal=1.0),
            Figure("killed: back", max(item.back_seconds for item in kills), "s"),
            Figure("503 health: excluded", max(i.excluded_seconds for i in sick), "s", goal=bound),
            Figure("503 health: back", max(item.back_seconds for item in sick), "s"),
            Figure("503 health: failed", sum(len(item.failed) for item in sick), goal=0),
            Figure("503 health: reached it", sum(i.answered_while_excluded for i in sick), goal=0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
