"""s3:// addresses and uploads, against a real server that speaks S3."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.storage.digest import digest_of
from puna_trainer.storage.upload import upload
from tests.trainer.storage.cutting import Cut, Proxy, cutting
from tests.trainer.storage.fetching import PATIENT, QUICK, Fetcher, sha256_of
from tests.trainer.storage.store import Store, running

pytestmark = pytest.mark.s3
LIMIT_SECONDS = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running(tmp_path_factory.mktemp("store") / "buckets") as server:
        yield server


@pytest.fixture
def proxy(store: Store) -> Iterator[Proxy]:
    with cutting(store.port) as between:
        yield between


@pytest.fixture
def fetcher(tmp_path: Path, store: Store) -> Fetcher:
    return Fetcher(tmp_path / "data", store.environment)


def through(proxy: Proxy, store: Store) -> dict[str, str]:
    return store.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}


def test_an_object_is_downloaded_and_checked(
    fetcher: Fetcher, store: Store, content: bytes
) -> None:
    store.put("bucket/deep/name with+signs.bin", content)
    # An address of S3 is the key itself, so blanks may stand in it: the operator refuses them.
    path = fetcher.fetch("s3://bucket/deep/name with+signs.bin", sha256_of(content))
    assert path.read_bytes() == content
    reason, message = Fetcher(fetcher.folder / "other", store.environment).refusal(
        "s3://bucket/deep/name with+signs.bin", "0" * 64
    )
    assert reason is FailureReason.DATA_CORRUPT
    assert sha256_of(content) in message


def test_a_folder_is_downloaded_with_the_digest_of_its_list(fetcher: Fetcher, store: Store) -> None:
    for name in ("a.txt", "b/c.txt", "b/d.txt", "b-.txt"):
        store.put(f"bucket/folder/{name}", name.encode())
    digest = digest_of(store.folder / "bucket" / "folder")
    path = fetcher.fetch("s3://bucket/folder", digest)
    assert (path / "b" / "c.txt").read_text() == "b/c.txt"
    assert digest_of(path) == digest
    assert digest_of(fetcher.fetch("s3://bucket/folder/", digest)) == digest


def test_a_download_that_breaks_off_goes_on_where_it_broke(
    fetcher: Fetcher, store: Store, proxy: Proxy, content: bytes
) -> None:
    store.put("bucket/large.bin", content)
    fetcher.environment = through(proxy, store)
    proxy.cuts += [Cut(1_000_000), Cut(1_000_000)]
    assert fetcher.fetch("s3://bucket/large.bin").read_bytes() == content
    assert not proxy.cuts
    assert any("broke off" in report for report in fetcher.reports)
    assert proxy.sent < 1.2 * len(content)


def test_a_download_that_is_killed_goes_on_where_it_was(
    fetcher: Fetcher, store: Store, proxy: Proxy, content: bytes
) -> None:
    store.put("bucket/killed.bin", content)
    fetcher.environment = through(proxy, store)
    reached, dead = threading.Event(), threading.Event()

    def wait() -> None:
        reached.set()
        dead.wait(LIMIT_SECONDS)

    proxy.cuts.append(Cut(2_000_000, wait))
    process = fetcher.start("s3://bucket/killed.bin")
    assert reached.wait(LIMIT_SECONDS)
    fetcher.wait_for(1_000_000)
    process.kill()
    process.communicate()
    dead.set()
    assert not fetcher.destination.exists()
    before, stored = proxy.sent, fetcher.stored
    assert stored > 0
    assert fetcher.fetch("s3://bucket/killed.bin").read_bytes() == content
    assert proxy.sent - before < len(content) - stored + 100_000


def test_an_object_that_changes_between_two_attempts_is_downloaded_anew(
    fetcher: Fetcher, store: Store, proxy: Proxy, content: bytes
) -> None:
    store.put("bucket/changing.bin", content)
    fetcher.environment = through(proxy, store)
    fetcher.limits = PATIENT  # the object changes while a connection is held
    changed = content[::-1]
    proxy.cuts.append(Cut(1_000_000, lambda: upload_changed(store, fetcher.folder, changed)))
    assert fetcher.fetch("s3://bucket/changing.bin").read_bytes() == changed


def upload_changed(store: Store, folder: Path, data: bytes) -> None:
    source = folder / "changing.bin"
    source.write_bytes(data)
    upload(source, "s3://bucket", report=lambda _: None, environment=store.environment)


@pytest.mark.parametrize(
    ("uri", "changes", "words"),
    [
        ("s3://bucket/nothing", {}, "nothing lies there"),
        ("s3://nowhere/nothing", {}, "nothing lies there"),
        ("s3://bucket/present", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_would_be_answered_again_is_refused_at_once(
    fetcher: Fetcher, store: Store, uri: str, changes: dict[str, str], words: str
) -> None:
    store.put("bucket/present", b"data")
    fetcher.environment |= changes
    reason, message = fetcher.refusal(uri)
    assert reason is FailureReason.BAD_CONFIG
    assert f"dataset.uri: {uri}" in message
    assert words in message
    assert "wrong" not in message


def test_the_keys_of_a_mounted_secret_are_used(
    fetcher: Fetcher, store: Store, tmp_path: Path
) -> None:
    store.put("bucket/secret", b"data")
    secret = tmp_path / "secret"
    secret.mkdir()
    for key, variable in (
        ("accessKeyId", "AWS_ACCESS_KEY_ID"),
        ("secretAccessKey", "AWS_SECRET_ACCESS_KEY"),
        ("endpoint", "AWS_ENDPOINT_URL"),
    ):
        (secret / key).write_text(fetcher.environment[variable] + "\n")
    fetcher.environment = {
        "PUNA_CREDENTIALS_DIRECTORY": str(secret),
        "AWS_ACCESS_KEY_ID": "another",
    }
    assert fetcher.fetch("s3://bucket/secret").read_bytes() == b"data"


def test_a_store_that_cannot_be_reached_is_asked_until_the_limit(fetcher: Fetcher) -> None:
    fetcher.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    reason, message = fetcher.refusal("s3://bucket/present")
    assert reason is FailureReason.DATA_UNAVAILABLE
    assert "given up after 4 attempts" in message


def test_more_than_allowed_is_refused_before_it_is_stored(fetcher: Fetcher, store: Store) -> None:
    store.put("bucket/sized/one", bytes(1000))
    store.put("bucket/sized/two", bytes(1000))
    reason, message = fetcher.refusal("s3://bucket/sized", max_bytes=1999)
    assert reason is FailureReason.BAD_CONFIG
    assert "2000 bytes" in message
    assert fetcher.fetch("s3://bucket/sized", max_bytes=2000).is_dir()


def test_an_artifact_is_uploaded_once_and_read_back(
    store: Store, tmp_path: Path, content: bytes
) -> None:
    folder = tmp_path / "safetensors"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(content)
    (folder / "config.json").write_text("{}")
    reports: list[str] = []
    for _ in range(2):
        sent = upload(
            folder, "s3://bucket/runs", report=reports.append, environment=store.environment
        )
        assert sent == "s3://bucket/runs/safetensors"
    arrived = store.folder / "bucket" / "runs" / "safetensors"
    assert digest_of(arrived) == digest_of(folder)
    assert len([report for report in reports if report.startswith("uploading")]) == 2


def test_an_artifact_of_many_parts_is_uploaded(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "large.gguf"
    large.write_bytes(os.urandom(1 << 20) * 110)  # more than one part, and than two
    upload(large, "s3://bucket/runs", report=lambda _: None, environment=store.environment)
    assert digest_of(store.folder / "bucket" / "runs" / "large.gguf") == digest_of(large)


def test_an_upload_that_fails_says_where_the_artifact_lies(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for environment in (
        store.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"},
        store.environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    ):
        with pytest.raises(TrainingError) as caught:
            upload(
                tmp_path / "model.gguf",
                "s3://bucket/runs",
                report=lambda _: None,
                environment=environment,
                limits=QUICK,
            )
        assert caught.value.reason is FailureReason.UPLOAD_FAILED
        assert str(tmp_path / "model.gguf") in caught.value.message
