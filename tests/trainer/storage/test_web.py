"""http(s) addresses, against a real server that misbehaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from puna_trainer.errors import Interrupted
from puna_trainer.exits import FailureReason
from puna_trainer.storage.fetch import fetch
from tests.fetch.certificates import server_context
from tests.fetch.source_server import SourceServer, answer, redirect, running, serve
from tests.trainer.storage.fetching import QUICK, Fetcher, sha256_of


def test_a_file_is_downloaded_once_and_then_found(fetcher: Fetcher, source: SourceServer) -> None:
    path = fetcher.fetch(source.url("/some%20data.csv?token=secret"), sha256_of(source.content))
    assert path.name == "some data.csv"
    assert path.read_bytes() == source.content
    assert fetcher.fetch(source.url("/some%20data.csv?token=secret")) == path
    assert len(source.asked) == 1
    assert any("of 3.0 MB" in report for report in fetcher.reports)
    assert not any("secret" in report for report in fetcher.reports)
    assert [entry.name for entry in fetcher.folder.iterdir()] == ["source"]


def test_a_download_that_breaks_off_goes_on_where_it_broke(
    fetcher: Fetcher, source: SourceServer
) -> None:
    source.behaviours += [serve(cut_after=1_000_000), serve(cut_after=1_000_000)]
    assert fetcher.fetch(source.url()).read_bytes() == source.content
    first, second, third = (asked.offset for asked in source.asked)
    assert first == 0 < second < third
    assert source.asked[1].headers["if-range"] == '"first"'
    assert source.sent < 1.2 * len(source.content)


def test_a_server_without_ranges_sends_all_of_it_again(
    fetcher: Fetcher, source: SourceServer
) -> None:
    source.behaviours.append(serve(cut_after=1_000_000))
    source.always = serve(honours_range=False)
    assert fetcher.fetch(source.url()).read_bytes() == source.content


def test_a_file_that_changes_on_the_way_is_downloaded_anew(
    fetcher: Fetcher, source: SourceServer
) -> None:
    right = source.content

    def change() -> None:
        source.content, source.etag = right[::-1], '"second"'

    source.behaviours.append(serve(cut_after=1_000_000, then=change))
    assert fetcher.fetch(source.url()).read_bytes() == right[::-1]


def test_pieces_of_two_files_are_found_by_their_digest(
    fetcher: Fetcher, source: SourceServer
) -> None:
    right, source.etag = source.content, None
    source.content = bytes(len(right))

    def change() -> None:
        source.content = right

    source.behaviours.append(serve(cut_after=1_000_000, then=change))
    with pytest.raises(Exception, match="sha256"):
        fetcher.fetch(source.url(), sha256_of(right))
    assert fetcher.fetch(source.url(), sha256_of(right)).read_bytes() == right


def test_a_source_without_a_length_is_read_to_its_end(
    fetcher: Fetcher, source: SourceServer
) -> None:
    source.always = serve(states_length=False)
    assert fetcher.fetch(source.url()).read_bytes() == source.content


def test_a_source_that_stalls_is_asked_again(fetcher: Fetcher, source: SourceServer) -> None:
    fetcher.limits = replace(QUICK, stall=0.3)
    source.behaviours.append(serve(pace=0.05, piece=1000))
    assert fetcher.fetch(source.url()).read_bytes() == source.content
    assert len(source.asked) == 2


def test_another_digest_is_refused_and_not_kept(fetcher: Fetcher, source: SourceServer) -> None:
    reason, message = fetcher.refusal(source.url(), "0" * 64)
    assert reason is FailureReason.DATA_CORRUPT
    assert sha256_of(source.content) in message
    assert "dataset.sha256" in message
    assert not list(fetcher.folder.iterdir())


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "404 Not Found"), (403, "credentials"), (401, "credentials"), (410, "410 Gone")],
)
def test_what_would_be_answered_again_is_not_asked_again(
    fetcher: Fetcher, source: SourceServer, status: int, words: str
) -> None:
    source.always = answer(status)
    reason, message = fetcher.refusal(source.url("/x.csv"))
    assert reason is FailureReason.BAD_CONFIG
    assert f"dataset.uri: {source.url('/x.csv')}" in message
    assert words in message
    assert len(source.asked) == 1


def test_a_server_in_trouble_is_asked_until_the_limit(
    fetcher: Fetcher, source: SourceServer
) -> None:
    source.always = answer(503, {"Retry-After": "0"})
    reason, message = fetcher.refusal(source.url())
    assert reason is FailureReason.DATA_UNAVAILABLE
    assert "503 Service Unavailable (given up after 4 attempts)" in message
    source.always = None
    assert fetcher.fetch(source.url()).read_bytes() == source.content


def test_a_refused_connection_names_the_server(fetcher: Fetcher) -> None:
    reason, message = fetcher.refusal("http://127.0.0.1:9/data.csv")
    assert reason is FailureReason.DATA_UNAVAILABLE
    assert "no connection to 127.0.0.1:9" in message


def test_a_name_that_nobody_knows_is_unreachable(fetcher: Fetcher) -> None:
    reason, message = fetcher.refusal("http://nowhere.invalid/data.csv")
    assert reason is FailureReason.DATA_UNAVAILABLE
    assert "nowhere.invalid" in message


def test_more_than_allowed_is_refused_before_it_is_stored(
    fetcher: Fetcher, source: SourceServer
) -> None:
    reason, message = fetcher.refusal(source.url(), max_bytes=1_000_000)
    assert reason is FailureReason.BAD_CONFIG
    assert "dataset.maxBytes" in message
    assert fetcher.stored == 0
    source.always = serve(states_length=False)
    assert fetcher.refusal(source.url(), max_bytes=1_000_000)[0] is FailureReason.BAD_CONFIG
    assert fetcher.stored <= 1_000_000


def test_credentials_of_a_folder_are_sent_and_stay_with_their_server(
    fetcher: Fetcher, source: SourceServer, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("verysecret\n")
    fetcher.environment = {"PUNA_CREDENTIALS_DIRECTORY": str(tmp_path)}
    with running(SourceServer(content)) as elsewhere:
        source.always = redirect(elsewhere.url("/data"))
        fetcher.fetch(source.url())
        assert "authorization" not in elsewhere.asked[0].headers
    assert source.asked[0].headers["authorization"] == "Bearer verysecret"
    assert not any("secret" in report for report in fetcher.reports)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    fetcher: Fetcher, content: bytes, tmp_path: Path
) -> None:
    context, _ = server_context(tmp_path)
    with running(SourceServer(content), context) as source:
        reason, message = fetcher.refusal(source.url())
    assert reason is FailureReason.BAD_CONFIG
    assert "SSL_CERT_FILE" in message


def test_a_signal_ends_a_download_and_keeps_what_there_is(
    fetcher: Fetcher, source: SourceServer
) -> None:
    def stop_later(message: str) -> None:
        if "1.9 of" in message:
            raise Interrupted

    with pytest.raises(Interrupted):
        fetch(
            source.url(),
            fetcher.destination,
            field="dataset.uri",
            sha256=None,
            max_bytes=None,
            report=stop_later,
            environment={},
        )
    assert fetcher.stored >= 1_800_000
    assert fetcher.fetch(source.url()).read_bytes() == source.content
    assert source.asked[1].offset >= 1_800_000


def test_another_address_starts_anew(fetcher: Fetcher, source: SourceServer) -> None:
    fetcher.fetch(source.url("/one"))
    source.content = b"other"
    assert fetcher.fetch(source.url("/two")).read_bytes() == b"other"
    assert [path.name for path in (fetcher.destination / "content").iterdir()] == ["two"]


def test_a_damaged_copy_is_downloaded_anew(fetcher: Fetcher, source: SourceServer) -> None:
    path = fetcher.fetch(source.url())
    with path.open("r+b") as stream:
        stream.write(b"damage")
    assert fetcher.fetch(source.url()).read_bytes() == source.content
    assert len(source.asked) == 2


def test_a_full_volume_is_named(fetcher: Fetcher, source: SourceServer) -> None:
    source.always = serve(claimed_length=1 << 60)
    reason, message = fetcher.refusal(source.url())
    assert reason is FailureReason.DISK_FULL
    assert "enlarge the output volume" in message


def test_a_volume_that_fills_up_is_named(fetcher: Fetcher, source: SourceServer) -> None:
    source.always = serve(states_length=False)
    limit = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")  # blocks of 512 or 1024 bytes
    process = fetcher.start(source.url(), wrapper=limit)
    output, _ = process.communicate(timeout=60)
    assert output.startswith(FailureReason.DISK_FULL)
    assert "enlarge the output volume" in output
    assert fetcher.fetch(source.url()).read_bytes() == source.content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, source: SourceServer) -> None:
    (tmp_path / "file").touch()
    reason, message = Fetcher(tmp_path / "file").refusal(source.url())
    assert reason is FailureReason.OUTPUT_UNUSABLE
    assert str(tmp_path / "file") in message


def test_a_folder_of_a_web_server_is_refused(fetcher: Fetcher, source: SourceServer) -> None:
    assert fetcher.refusal(source.url("/data/"))[0] is FailureReason.BAD_CONFIG
    assert source.asked == []
