"""Two endpoints, two presets, 40 parallel streams for 60 s through the router."""

from __future__ import annotations

import sys
from statistics import median

from tests.bench.clusters import bench_stage
from tests.bench.report import Figure, report
from tests.e2e.crowd import expected_settings, prepare, stream

STREAMS = 40
SECONDS = 60.0


def main() -> int:
    """Run them and report."""
    with bench_stage() as stage:
        prepare(stage)
        crowd = stream(stage, streams=STREAMS, seconds=SECONDS)
        stage.delete_everything()
    print(*crowd.failed[:10], sep="\n")
    first = [item.first_at - item.began for item in crowd.outcomes if item.first_at is not None]
    wrong = sum(crowd.settings[model] != wanted for model, wanted in expected_settings().items())
    return report(
        "streams",
        [
            Figure("streams", len(crowd.outcomes)),
            Figure("without [DONE]", len(crowd.failed), goal=0),
            Figure("at once", crowd.at_once, goal=STREAMS * 0.9, at_least=True),
            Figure("events a second", crowd.events / SECONDS, "1/s"),
            Figure("time to first token", median(first), "s"),
            Figure("models without their forced values", wrong, goal=0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
