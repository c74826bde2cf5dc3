"""What a running router and a running operator answered at /metrics, kept as files.

Dashboard and alerts are checked with these files, and the files with running programs: name by
name and label by label. `PUNA_GOLDEN=write` records anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.promql import series_of

FOLDER: Final = Path(__file__).parent / "golden/metrics"
ROUTER: Final = FOLDER / "router.txt"
OPERATOR: Final = FOLDER / "operator.txt"
TRAINING: Final = FOLDER / "training.txt"


def compare(recording: Path, text: str) -> None:
    """Fail unless a program publishes what was recorded; values may differ."""
    own = without_platform(text)
    if os.environ.get("PUNA_GOLDEN") == "write":
        recording.parent.mkdir(exist_ok=True)
        recording.write_text(own, encoding="utf-8")
    assert series_of(own) == series_of(recording.read_text(encoding="utf-8"))


def without_platform(text: str) -> str:
    """Prometheus text without the process_* series, which differ between platforms."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if " process_" not in f" {line}")
