from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from puna_node.log_files import LogQuery, read_log, tail_text
from puna_node.server import parse_query
from puna_node.shim import Log
from tests.unit.node.pods import NOW


async def shown(log: Path, query: LogQuery) -> bytes:
    return b"".join([text async for text in read_log(log, query, lambda: False)])


def written(folder: Path, *texts: bytes, max_bytes: int = 10**6, max_files: int = 5) -> Path:
    log = Log(str(folder / "log"), max_bytes, max_files)
    for text in texts:
        log.feed("stdout", text)
    log.finish()
    return folder / "log"


async def test_what_was_written_is_read(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntw", b"o\nthree")
    assert await shown(log, LogQuery()) == b"one\ntwo\nthree"


async def test_the_tail_spans_rotated_files(tmp_path: Path) -> None:
    texts = [f"line {n}\n".encode() for n in range(100)]
    log = written(tmp_path, *texts, max_bytes=1200, max_files=9)
    assert len(list(tmp_path.glob("log.*"))) > 2
    for count in (1, 5, 40, 99, 100, 1000):
        expected = b"".join(texts[-count:])
        assert await shown(log, LogQuery(tail_lines=count)) == expected
    assert await shown(log, LogQuery(tail_lines=0)) == b""


async def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    texts = [f"{n:05}\n".encode() for n in range(500)]
    log = written(tmp_path, *texts, max_bytes=500, max_files=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    kept = (await shown(log, LogQuery())).split()
    assert kept == [text.strip() for text in texts[-len(kept) :]]


async def test_times_limits_and_stamps(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        b"2026-11-21T11:59:59.000000001Z stdout F old\n"
        b"2026-11-21T12:00:01.000000001Z stderr F new\n"
    )
    assert await shown(log, LogQuery(since=NOW)) == b"new\n"
    assert await shown(log, LogQuery(limit_bytes=5)) == b"old\nn"
    stamped = await shown(log, LogQuery(since=NOW, timestamps=True))
    assert stamped == b"2026-11-21T12:00:01.000000001Z new\n"


def test_the_end_of_a_log_is_cut_to_size(tmp_path: Path) -> None:
    log = written(tmp_path, *[b"%d\n" % n for n in range(100)])
    assert tail_text(log, lines=3, size=1000) == "97\n98\n99\n"
    assert tail_text(log, lines=50, size=4) == "\n99\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(200, 2000))
async def test_no_byte_is_lost_over_rotations(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], max_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = written(folder, *parts, max_bytes=max_bytes, max_files=60)
    assert await shown(log, LogQuery()) == b"".join(parts)


def test_a_query_string_is_understood() -> None:
    query = parse_query({"follow": "true", "tailLines": "5", "sinceSeconds": "60"}, NOW)
    assert query.follow
    assert query.tail_lines == 5
    assert query.since == datetime.fromisoformat("2026-11-21T11:59:00+00:00")
    named = parse_query({"sinceTime": "2026-11-21T11:00:00Z"}, NOW)
    assert named.since == datetime.fromisoformat("2026-11-21T11:00:00+00:00")
