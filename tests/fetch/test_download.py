"""A download, and everything that a source may do to it."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
import time

from puna_fetch.config import FetchReason, FetchStage
from tests.fetch.program import Program
from tests.fetch.source_server import SourceServer, answer, redirect, serve

SOON = "--retry-seconds=3"


def test_a_file_is_downloaded_once_and_then_found(program: Program, source: SourceServer) -> None:
    first = program.run(source.url())
    second = program.run(source.url())
    assert (first.code, second.code) == (0, 0)
    assert program.is_in_place
    assert len(source.asked) == 1
    assert first.progress[0].stage == FetchStage.DOWNLOADING
    last = first.progress[-1]
    assert (last.completed_bytes, last.total_bytes) == (len(source.content),) * 2
    assert len(second.progress) == 1
    left = {path.name for path in program.destination.parent.iterdir()}
    assert left == {"model.gguf", "model.gguf.checked", "model.gguf.lock"}


def test_progress_comes_at_most_once_a_second_and_says_how_fast(
    program: Program, source: SourceServer
) -> None:
    source.always = serve(pace=0.4)
    outcome = program.run(source.url())
    lines = [line for line in outcome.progress if line.stage == FetchStage.DOWNLOADING]
    assert 2 <= len(lines) <= outcome.seconds + 1
    assert 50_000 < (lines[-1].bytes_per_second or 0) < 400_000


def test_a_broken_download_goes_on_where_it_broke(program: Program, source: SourceServer) -> None:
    source.behaviours.append(serve(cut_after=200_000))
    assert program.run(source.url()).code == 0
    assert program.is_in_place
    assert source.sent == len(source.content)
    assert source.asked[1].headers["range"] == "bytes=200000-"
    assert source.asked[1].headers["if-range"] == '"first"'


def test_a_source_that_ignores_ranges_sends_all_of_it_again(
    program: Program, source: SourceServer
) -> None:
    source.behaviours.append(serve(cut_after=200_000))
    source.always = serve(honours_range=False)
    assert program.run(source.url()).code == 0
    assert program.is_in_place
    assert source.sent == 200_000 + len(source.content)


def test_a_partial_of_a_changed_file_is_dropped(program: Program, source: SourceServer) -> None:
    right = source.content
    source.content = bytes(reversed(right[24:])) + right[:24]
    source.content = right[:24] + source.content[24:]

    def change() -> None:
        source.content, source.etag = right, '"second"'

    source.behaviours.append(serve(cut_after=200_000, then=change))
    assert program.run(source.url()).code == 0
    assert program.is_in_place
    assert source.sent == 200_000 + len(right)


def test_a_changed_file_without_an_entity_tag_is_downloaded_anew(
    program: Program, source: SourceServer
) -> None:
    right, source.etag = source.content, None
    source.content = right[:24] + bytes(len(right) - 24)

    def change() -> None:
        source.content = right

    source.behaviours.append(serve(cut_after=200_000, then=change))
    outcome = program.run(source.url())
    assert outcome.code == 0
    assert program.is_in_place
    assert "downloading it anew" in outcome.log


def test_a_source_that_claims_more_than_it_sends_is_asked_until_the_limit(
    program: Program, source: SourceServer
) -> None:
    source.always = serve(honours_range=False, claimed_length=len(source.content) + 1000)
    failure = program.run(source.url(), SOON).failure
    assert failure.reason == FetchReason.DOWNLOAD_FAILED
    assert "broke off after" in failure.message
    assert not program.is_in_place
    assert 2 <= len(source.asked) <= 10


def test_a_source_that_claims_less_than_it_has_delivers_another_file(
    program: Program, source: SourceServer
) -> None:
    source.always = serve(claimed_length=100_000)
    assert program.run(source.url(), SOON).reason == FetchReason.CHECKSUM_MISMATCH
    assert not program.is_in_place


def test_a_source_that_states_no_length_is_read_to_its_end(
    program: Program, source: SourceServer
) -> None:
    source.always = serve(states_length=False)
    outcome = program.run(source.url())
    assert outcome.code == 0
    assert program.is_in_place
    assert outcome.progress[0].total_bytes is None


def test_a_stalled_source_is_cut_off_and_asked_again(
    program: Program, source: SourceServer
) -> None:
    over = threading.Event()
    source.behaviours.append(serve(cut_after=200_000, then=lambda: over.wait(600)))
    outcome = program.run(source.url(), "--stall-timeout=1")
    over.set()
    assert outcome.code == 0
    assert source.sent == len(source.content)


def test_a_trickle_counts_as_a_stall(program: Program, source: SourceServer) -> None:
    source.always = serve(piece=1, pace=0.1)
    outcome = program.run(source.url(), "--stall-timeout=1", SOON)
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED


def test_headers_that_never_end_count_as_a_stall(program: Program, source: SourceServer) -> None:
    def trickle(handler: object, _asked: object) -> None:
        for _ in range(6000):
            handler.wfile.write(b"X")  # type: ignore[attr-defined]
            time.sleep(0.1)

    source.always = trickle
    outcome = program.run(source.url(), "--stall-timeout=1", SOON)
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED


def test_an_overloaded_source_is_asked_again(program: Program, source: SourceServer) -> None:
    source.behaviours += [answer(503), answer(503)]
    assert program.run(source.url()).code == 0
    assert len(source.asked) == 3


def test_retry_after_is_waited_for(program: Program, source: SourceServer) -> None:
    source.behaviours.append(answer(429, {"Retry-After": "2"}))
    outcome = program.run(source.url())
    assert outcome.code == 0
    assert outcome.seconds > 2


def test_a_retry_after_beyond_the_limit_ends_the_fetch(
    program: Program, source: SourceServer
) -> None:
    source.always = answer(429, {"Retry-After": "3600"})
    outcome = program.run(source.url())
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED
    assert "429" in outcome.failure.message
    assert len(source.asked) == 1


def test_what_will_not_change_fails_at_once(program: Program, source: SourceServer) -> None:
    expected = {
        401: FetchReason.UNAUTHORIZED,
        403: FetchReason.UNAUTHORIZED,
        404: FetchReason.FILE_NOT_FOUND,
        410: FetchReason.FILE_NOT_FOUND,
        400: FetchReason.DOWNLOAD_FAILED,
    }
    for status, reason in expected.items():
        source.behaviours.append(answer(status))
        assert program.run(source.url()).reason == reason
    assert len(source.asked) == len(expected)


def test_a_compressed_reply_is_refused_with_its_cause(
    program: Program, source: SourceServer
) -> None:
    source.content = gzip.compress(source.content)
    source.always = serve(extra={"Content-Encoding": "gzip"})
    failure = program.run(source.url()).failure
    assert failure.reason == FetchReason.DOWNLOAD_FAILED
    assert "Content-Encoding 'gzip'" in failure.message
    assert source.asked[0].headers["accept-encoding"] == "identity"


def test_a_wrong_digest_is_named_and_the_file_is_not_downloaded_to_fail_again(
    program: Program, source: SourceServer, model: bytes
) -> None:
    other = Program(program.folder, "0" * 64)
    first, second = other.run(source.url()), other.run(source.url())
    for outcome in (first, second):
        assert outcome.reason == FetchReason.CHECKSUM_MISMATCH
        assert hashlib.sha256(model).hexdigest() in outcome.failure.message
    assert FetchStage.VERIFYING in first.stages
    assert FetchStage.VERIFYING not in second.stages
    assert not other.destination.exists()
    assert not other.partial.exists()


def test_a_changed_source_cures_a_wrong_digest(program: Program, source: SourceServer) -> None:
    right = source.content
    source.content = right[:-1] + bytes([right[-1] ^ 1])
    assert program.run(source.url()).reason == FetchReason.CHECKSUM_MISMATCH
    source.content, source.etag = right, '"second"'
    assert program.run(source.url()).code == 0
    assert program.is_in_place


def test_a_web_page_is_refused_by_its_first_bytes(program: Program, source: SourceServer) -> None:
    source.content = b"<!DOCTYPE html>" + b" " * 50_000_000
    failure = program.run(source.url()).failure
    assert failure.reason == FetchReason.INVALID_MODEL
    assert "a web page?" in failure.message
    assert source.sent < 10_000_000


def test_a_cut_gguf_with_the_right_digest_is_no_model_and_is_not_downloaded_again(
    program: Program, source: SourceServer
) -> None:
    source.content = source.content[:-100]
    cut = Program(program.folder, hashlib.sha256(source.content).hexdigest())
    for _ in range(2):
        failure = cut.run(source.url()).failure
        assert failure.reason == FetchReason.INVALID_MODEL
        assert "cut short" in failure.message
    assert len(source.asked) == 1
    assert not cut.destination.exists()


def test_a_file_above_the_limit_is_refused_before_its_first_byte(
    program: Program, source: SourceServer
) -> None:
    outcome = program.run(source.url(), max_bytes=1000)
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED
    assert "limit 1000" in outcome.failure.message
    source.always = serve(states_length=False)
    assert "limit 1000" in program.run(source.url(), max_bytes=1000).failure.message


def test_no_room_is_seen_before_the_first_byte(program: Program, source: SourceServer) -> None:
    source.always = serve(claimed_length=2**60)
    failure = program.run(source.url()).failure
    assert failure.reason == FetchReason.DISK_FULL
    assert str(2**60) in failure.message
    assert not program.partial.exists()


def test_a_volume_that_fills_up_is_given_back(program: Program, source: SourceServer) -> None:
    source.always = serve(states_length=False)

    limit = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")  # blocks of 512 or 1024 bytes
    assert program.run(source.url(), wrapper=limit).reason == FetchReason.DISK_FULL
    assert not program.partial.exists()
    assert program.run(source.url()).code == 0
    assert program.is_in_place


def test_a_cache_that_is_no_folder_is_named(program: Program, source: SourceServer) -> None:
    (program.folder / "models").write_text("")
    outcome = program.run(source.url())
    assert outcome.reason == FetchReason.CACHE_UNUSABLE
    assert str(program.folder) in outcome.failure.message


def test_a_bad_file_in_the_cache_is_replaced(program: Program, source: SourceServer) -> None:
    program.destination.parent.mkdir(parents=True)
    program.destination.write_bytes(source.content[:-1] + b"?")
    assert program.run(source.url()).code == 0
    assert program.is_in_place


def test_a_good_file_without_a_record_is_not_downloaded(
    program: Program, source: SourceServer
) -> None:
    program.destination.parent.mkdir(parents=True)
    program.destination.write_bytes(source.content)
    assert program.run(source.url()).code == 0
    assert source.asked == []


def test_a_changed_file_does_not_pass_by_its_record(program: Program, source: SourceServer) -> None:
    program.run(source.url())
    facts = program.destination.stat()
    with program.destination.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"tampered")

    os.utime(program.destination, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert program.run(source.url()).code == 0
    assert program.is_in_place
    assert len(source.asked) == 2


def test_a_damaged_record_or_note_counts_as_none(program: Program, source: SourceServer) -> None:
    program.run(source.url())
    record = program.destination.with_name("model.gguf.checked")
    for text in ("", "[]", '{"version": 1}', "\x00"):
        record.write_text(text)
        assert program.run(source.url()).code == 0
    program.destination.unlink()
    program.partial.write_bytes(b"GGUF" + bytes(1000))
    for text in ("", "7", '{"etag": 3, "last_modified": null, "total": "x"}'):
        program.partial.with_name(program.partial.name + ".json").write_text(text)
        assert program.run(source.url()).code == 0
        assert program.is_in_place
        program.destination.unlink()


def test_an_endless_chain_of_redirects_ends(program: Program, source: SourceServer) -> None:
    source.always = redirect("/again")
    failure = program.run(source.url()).failure
    assert failure.reason == FetchReason.DOWNLOAD_FAILED
    assert len(source.asked) == 11


def test_a_private_query_is_not_shown(program: Program, source: SourceServer) -> None:
    source.behaviours.append(answer(404))
    outcome = program.run(source.url("/model.gguf?signature=secret"))
    assert outcome.reason == FetchReason.FILE_NOT_FOUND
    assert source.asked[0].path == "/model.gguf?signature=secret"
    assert "secret" not in outcome.log + outcome.termination + outcome.output


def test_progress_says_why_a_source_is_asked_again(program: Program, source: SourceServer) -> None:
    source.behaviours += [answer(503), answer(503), answer(503)]
    messages = [line.message for line in program.run(source.url()).progress]
    assert messages[0] is None
    assert any("503 Service Unavailable" in (message or "") for message in messages)
    assert messages[-1] is None


def test_a_source_that_is_not_there_is_given_up(program: Program) -> None:
    outcome = program.run("http://127.0.0.1:9/model.gguf", "--retry-seconds=1")
    assert outcome.reason == FetchReason.DOWNLOAD_FAILED
    assert "127.0.0.1:9: cannot connect" in outcome.failure.message
