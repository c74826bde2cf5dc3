"""1,000 canaries of each kind by the real judge and the real next step: how often it is right."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Final

from puna.api.analysis import Analysis
from tests.bench.report import Figure, report
from tests.canary_runs import Behaviour, Ending, run

RUNS: Final = 1000
IMPATIENT: Final = Analysis(deadline_seconds=900)
HEALTHY: Final = Behaviour()
SLOW: Final = Behaviour(slowness=1.5)
FAILING: Final = Behaviour(failing=0.025)
"""Two points more than the stable revision's 0.5 %."""
FEW: Final = 0.1
"""Requests a second, of which a canary gets a tenth."""


def healthy(seed: int) -> Ending:
    return run(seed, HEALTHY)


def slow(seed: int) -> Ending:
    return run(seed, SLOW)


def failing(seed: int) -> Ending:
    return run(seed, FAILING)


def few(seed: int) -> Ending:
    return run(seed, HEALTHY, per_second=FEW, analysis=IMPATIENT)


def main() -> int:
    """Run them all; 0 if every goal holds."""
    figures = []
    goals = {
        healthy: ("healthy, noise of 20 %", "Failed", 1.0, False),
        slow: ("1.5 times as slow", "Failed", 95.0, True),
        failing: ("2 points more failures", "Failed", 95.0, True),
        few: ("too few requests", "Paused", 100.0, True),
    }
    with ProcessPoolExecutor(2) as pool:
        for kind, (name, outcome, goal, at_least) in goals.items():
            began = time.monotonic()
            endings = list(pool.map(kind, range(RUNS), chunksize=20))
            counts = Counter(ending.outcome for ending in endings)
            print(f"{name}: {dict(counts)} in {time.monotonic() - began:.0f} s", flush=True)
            print(f"  for example: {endings[0].message}", flush=True)
            share = 100 * counts[outcome] / RUNS
            label = f"{name}: {outcome.lower()}"
            figures.append(Figure(label, share, "%", goal=goal, at_least=at_least))
            if kind is not few:
                promoted = 100 * counts["Promoted"] / RUNS
                figures.append(Figure(f"{name}: promoted", promoted, "%"))
            first = median(ending.seconds for ending in endings)
            figures.append(Figure(f"{name}: median time", first, "s"))
            canary = median(ending.requests for ending in endings)
            figures.append(Figure(f"{name}: median requests of the canary", canary))
    return report("canary_judge", figures)


if __name__ == "__main__":
    sys.exit(main())
