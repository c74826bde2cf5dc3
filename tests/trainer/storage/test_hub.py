"""hf:// addresses, by the hub's own library, against a server that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from puna_trainer.exits import FailureReason
from tests.fetch.source_server import Asked, Handler, SourceServer, answer, running, serve
from tests.trainer.storage.fetching import QUICK, Fetcher, sha256_of

COMMIT = "c0ffee" + "0" * 34
REPOSITORY = "/api/datasets/team/letters"
FILES = {
    "README.md": b"# Letters\n",
    "data/train.jsonl": b'{"text": "a"}\n',
    "data/deep/test.jsonl": b'{"text": "b"}\n' * 100_000,
}


@dataclass
class HubServer:
    """The hub's interface of one dataset, and the storage that it redirects to."""

    front: SourceServer
    storage: SourceServer
    listed_sha256: dict[str, str] = field(default_factory=dict)

    def entry(self, path: str) -> dict[str, object]:
        data = FILES[path]
        oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": oid}
        if path in self.listed_sha256:
            digest = self.listed_sha256[path]
            entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
        return entry

    def behave(self, handler: Handler, asked: Asked) -> None:
        path = unquote(urlsplit(asked.path).path)
        if path.startswith(f"{REPOSITORY}/revision/") or path == REPOSITORY:
            reply(handler, {"id": "team/letters", "sha": COMMIT, "siblings": []})
        elif path == f"{REPOSITORY}/paths-info/{COMMIT}":
            wanted = handler.rfile.read(int(asked.headers["content-length"])).decode()
            name = parse_qs(wanted)["paths"][0]
            folder = {"type": "directory", "path": name, "size": 0, "oid": "0" * 40}
            is_folder = any(file.startswith(f"{name}/") for file in FILES)
            reply(handler, [self.entry(name)] if name in FILES else [folder] if is_folder else [])
        elif path.startswith(f"{REPOSITORY}/tree/{COMMIT}"):
            below = path.removeprefix(f"{REPOSITORY}/tree/{COMMIT}").strip("/")
            reply(handler, [self.entry(name) for name in FILES if name.startswith(below)])
        elif path.startswith(f"/datasets/team/letters/resolve/{COMMIT}/"):
            self.storage.content = FILES[path.partition(f"{COMMIT}/")[2]]
            handler.start(302, {"Location": self.storage.url("/blob?X-Signature=secret")})
        else:
            answer(404, {"X-Error-Code": "RepoNotFound"})(handler, asked)


def reply(handler: Handler, document: object) -> None:
    data = json.dumps(document).encode()
    handler.start(200, {"Content-Type": "application/json", "Content-Length": str(len(data))})
    handler.body(data)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with running(SourceServer(b"")) as front, running(SourceServer(b"")) as storage:
        server = HubServer(front, storage)
        front.always = server.behave
        yield server


@pytest.fixture
def fetcher(tmp_path: Path, hub: HubServer) -> Fetcher:
    return Fetcher(tmp_path / "data", {"HF_ENDPOINT": hub.front.url("")})


def test_a_folder_is_downloaded_at_one_commit(fetcher: Fetcher, hub: HubServer) -> None:
    hub.storage.behaviours.append(serve(cut_after=500_000))
    path = fetcher.fetch("hf://datasets/team/letters/data")
    assert (path / "train.jsonl").read_bytes() == FILES["data/train.jsonl"]
    assert (path / "deep" / "test.jsonl").read_bytes() == FILES["data/deep/test.jsonl"]
    assert not (path / "README.md").exists()
    assert len(hub.storage.asked) == 3


def broken_off(fetcher: Fetcher, hub: HubServer) -> Path:
    """The first file of a folder, which is whole, after the second one broke off."""
    hub.storage.behaviours += [serve(), serve(cut_after=5)]
    fetcher.limits = replace(QUICK, attempts=1)
    fetcher.refusal("hf://datasets/team/letters/data")
    fetcher.limits = QUICK
    (first,) = fetcher.folder.rglob("test.jsonl")
    return first


def test_a_file_that_is_whole_is_not_downloaded_again(fetcher: Fetcher, hub: HubServer) -> None:
    broken_off(fetcher, hub)
    fetcher.fetch("hf://datasets/team/letters/data")
    assert len(hub.storage.asked) == 3


@pytest.mark.parametrize("size", [3, len(FILES["data/deep/test.jsonl"])])
def test_a_file_that_a_crash_of_the_machine_damaged_is_downloaded_again(
    fetcher: Fetcher, hub: HubServer, size: int
) -> None:
    broken_off(fetcher, hub).write_bytes(bytes(size))
    path = fetcher.fetch("hf://datasets/team/letters/data")
    assert (path / "deep" / "test.jsonl").read_bytes() == FILES["data/deep/test.jsonl"]
    assert len(hub.storage.asked) == 4


def test_a_whole_repository_is_downloaded(fetcher: Fetcher) -> None:
    path = fetcher.fetch("hf://datasets/team/letters@v1")
    assert sorted(entry.name for entry in path.iterdir()) == ["README.md", "data"]


def test_a_file_is_checked_against_what_the_hub_lists(fetcher: Fetcher, hub: HubServer) -> None:
    uri = "hf://datasets/team/letters/data/train.jsonl"
    hub.listed_sha256["data/train.jsonl"] = "0" * 64
    reason, message = fetcher.refusal(uri)
    assert reason is FailureReason.DATA_CORRUPT
    assert "the source lists 000" in message
    hub.listed_sha256["data/train.jsonl"] = sha256_of(FILES["data/train.jsonl"])
    assert fetcher.fetch(uri).name == "train.jsonl"


def test_a_token_goes_to_the_hub_alone(fetcher: Fetcher, hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secrettoken")
    fetcher.environment["PUNA_CREDENTIALS_DIRECTORY"] = str(tmp_path)
    fetcher.fetch("hf://datasets/team/letters/data/train.jsonl")
    assert {asked.headers.get("authorization") for asked in hub.front.asked} == {
        "Bearer hf_secrettoken"
    }
    assert all("authorization" not in asked.headers for asked in hub.storage.asked)


@pytest.mark.parametrize(
    "uri", ["hf://datasets/team/unknown/data", "hf://datasets/team/letters/unknown.jsonl"]
)
def test_what_the_hub_does_not_have_is_refused_at_once(fetcher: Fetcher, uri: str) -> None:
    reason, message = fetcher.refusal(uri)
    assert reason is FailureReason.BAD_CONFIG
    assert f"dataset.uri: {uri}" in message


def test_an_address_of_another_form_is_refused(fetcher: Fetcher) -> None:
    assert fetcher.refusal("hf://datasets/letters")[0] is FailureReason.BAD_CONFIG


def test_a_hub_that_cannot_be_reached_is_named(fetcher: Fetcher) -> None:
    fetcher.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    reason, message = fetcher.refusal("hf://datasets/team/letters")
    assert reason is FailureReason.DATA_UNAVAILABLE
    assert "the hub at http://127.0.0.1:9 cannot be reached" in message


def test_a_hub_in_trouble_is_asked_again(fetcher: Fetcher, hub: HubServer) -> None:
    hub.front.behaviours += [answer(503), answer(500)]
    assert fetcher.fetch("hf://datasets/team/letters/data").is_dir()
