"""Which lines of a log are new after a stream that broke off."""

from __future__ import annotations

from pathlib import Path

import pytest

from puna_cli.kubectl import Kubectl
from puna_cli.train.logs import beyond

LINES = [("1", "a"), ("1", "b"), ("2", "c"), ("2", "d"), ("2", "e"), ("3", "f")]


def texts(written: str, seen: int, lines: list[tuple[str, str]]) -> str:
    return "".join(text for _, text in beyond(written, seen, lines))


@pytest.mark.parametrize("count", range(len(LINES) + 1))
def test_a_stream_that_broke_off_anywhere_goes_on_with_the_next_line(count: int) -> None:
    written = LINES[count - 1][0] if count else ""
    seen = sum(stamp == written for stamp, _ in LINES[:count])
    expected = "".join(text for _, text in LINES[count:])
    assert texts(written, seen, LINES) == expected
    later = [item for item in LINES if item[0] >= written]
    assert texts(written, seen, later) == expected


def test_a_clock_that_is_set_back_costs_no_line() -> None:
    assert texts("", 0, [("2", "a"), ("1", "b"), ("1", "c")]) == "abc"
    assert texts("2", 1, [("2", "a"), ("1", "b"), ("1", "c")]) == "bc"


def test_kubectl_ends_with_who_reads_it(tmp_path: Path) -> None:
    binary = tmp_path / "kubectl"
    binary.write_text("#!/bin/sh\necho one\nexec sleep 3600\n", encoding="utf-8")
    binary.chmod(0o755)
    lines = Kubectl(binary, tmp_path / "kubeconfig").lines("logs", "--follow")
    assert next(lines) == "one\n"
    lines.close()  # type: ignore[attr-defined]
    assert list(lines) == []
