from __future__ import annotations

from pathlib import Path

from hack.generate.__main__ import COMMAND, differing

ROOT = Path(__file__).parents[2]


def test_generated_files_are_what_their_sources_say() -> None:
    stale = differing(ROOT)
    assert stale == [], f"run `{COMMAND}` and commit: {', '.join(stale)}"
