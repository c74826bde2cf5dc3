from __future__ import annotations

import re
from pathlib import Path

from puna_fetch.config import FetchReason, FetchStage
from puna_fetch.request import parse_request
from puna_fetch.termination import LOG_VARIABLE

TEXT = (Path(__file__).parents[3] / "docs" / "model-fetch.md").read_text()


def rows(heading: str) -> list[str]:
    """First column of the table under a heading row that begins with the word."""
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)


def test_every_reason_and_every_stage_is_explained_in_order() -> None:
    assert rows("reason") == list(FetchReason)
    assert rows("stage") == list(FetchStage)


def test_every_limit_names_its_default() -> None:
    limits = parse_request(["--uri=file:///m.gguf", "--destination=/m.gguf"]).limits
    expected = {
        "--connect-timeout": limits.connect,
        "--stall-timeout": limits.stall,
        "--retry-seconds": limits.retry,
        "--lock-timeout": limits.wait,
    }
    for flag, default in expected.items():
        row = next(line for line in TEXT.splitlines() if f"`{flag}`" in line)
        assert f"{default:g} s" in row
    assert LOG_VARIABLE in TEXT
