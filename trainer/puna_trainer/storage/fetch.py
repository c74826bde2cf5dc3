"""Fetch: put what an address names into a folder, checked, in one step; or use it where it lies.

A download works in `<destination>.partial`, which the next process goes on with. When every file is
there and the digest is right, the whole folder takes its place under its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from puna_trainer.errors import TrainingError
from puna_trainer.files import file_digest
from puna_trainer.storage.atomic import publish, replacing
from puna_trainer.storage.credentials import Credentials, read_credentials
from puna_trainer.storage.digest import digest_of, digest_of_list, files_below
from puna_trainer.storage.download import Download, Report, megabytes, persist
from puna_trainer.storage.faults import check_room, corrupt, unusable, writing
from puna_trainer.storage.location import Location, Scheme, locate
from puna_trainer.storage.partial import Partial
from puna_trainer.storage.retry import PATIENT, Limits
from puna_trainer.storage.source import RemoteFile, Source
from puna_trainer.storage.web import Web

CONTENT: Final = "content"
"""Folder in a destination that holds the files."""
RECORD: Final = "source.json"
"""File in a destination that says where they come from."""


def fetch(
    uri: str,
    destination: Path,
    *,
    field: str,
    sha256: str | None,
    max_bytes: int | None,
    report: Report,
    environment: Mapping[str, str] = os.environ,
    limits: Limits = PATIENT,
) -> Path:
    """Return the file or folder that an address names, wherever it lies then.

    Args:
        uri: `file://` is used where it lies; `http(s)://`, `s3://` and `hf://` are downloaded.
        destination: Folder for a download; what an earlier run put there is used again.
        field: Field of `run.json` that holds the address, for messages.
        sha256: Digest of the file, or of the folder's list of files (`config.dataset`).
        max_bytes: Size that a download must not exceed.
        report: Is told what takes time.
        environment: Where credentials are looked for.
        limits: How long to wait for what.

    Raises:
        TrainingError: with the reason, and the way out.
    """
    location = locate(uri, field)
    if location.scheme is Scheme.FILE:
        return _in_place(location, sha256, report)
    published = _published(destination, location, sha256, report)
    if published is not None:
        return published
    source = _source(location, read_credentials(environment), limits)
    return _Transfer(location, source, destination, sha256, max_bytes, limits, report).run()


@dataclass(frozen=True)
class _Transfer:
    """Everything behind one address, on its way into a folder."""

    location: Location
    source: Source
    destination: Path
    sha256: str | None
    max_bytes: int | None
    limits: Limits
    report: Report

    @property
    def folder(self) -> Path:
        return self.destination.with_name(self.destination.name + ".partial")

    def run(self) -> Path:
        self.report(f"asking for {self.location.shown}")
        files = persist(self.source.files, lambda: 0, self.limits, self.report)
        known = sum(file.size or 0 for file in files)
        if self.max_bytes is not None and known > self.max_bytes:
            raise unusable(
                f"{self.location.field}: {self.location.shown} holds {known} bytes, more than "
                f"maxBytes, {self.max_bytes}; raise it, or name less"
            )
        with writing(self.folder):
            self._open()
            check_room(self.folder, known - self._stored(), self.location.shown)
        digests, resumed = self._download(files)
        digest = self._digest(digests)
        if self.sha256 not in {None, digest} and resumed:
            # Pieces of two versions of a file, or bytes that a crash of the machine lost.
            with writing(self.folder):
                shutil.rmtree(self.folder)
                self._open()
            digests, _ = self._download(files)
            digest = self._digest(digests)
        if self.sha256 not in {None, digest}:
            with writing(self.folder):
                shutil.rmtree(self.folder)
            raise _mismatch(self.location, digest)
        with writing(self.destination):
            with replacing(self.folder / RECORD) as stream:
                record = {
                    "uri": self.location.shown,
                    "address": _address_key(self.location),
                    "sha256": digest,
                    "isFolder": self.source.is_folder,
                }
                stream.write(json.dumps(record, indent=1).encode())
            publish(self.folder, self.destination)
            shutil.rmtree(self.destination / "parts")
        return _content(self.destination, is_folder=self.source.is_folder)

    def _open(self) -> None:
        """Make the working folder; what is there of another address goes."""
        wanted, key = self.folder / "address", _address_key(self.location)
        if not wanted.exists() or wanted.read_text() != key:
            shutil.rmtree(self.folder, ignore_errors=True)
            for name in (CONTENT, "parts"):
                (self.folder / name).mkdir(parents=True)
            with replacing(wanted) as stream:
                stream.write(key.encode())

    def _stored(self) -> int:
        below = (path for path in self.folder.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in below)

    def _download(self, files: tuple[RemoteFile, ...]) -> tuple[dict[str, str], bool]:
        """Return the digest of each file, and whether any was put together from pieces."""
        digests: dict[str, str] = {}
        resumed = False
        left = self.max_bytes
        for file in files:
            target = self.folder / CONTENT / file.path
            partial = Partial(self.folder / "parts" / _file_key(file))
            done = partial.path.with_suffix(".done")
            if digest := _digest_if_whole(target, done):
                resumed = True
                digests[file.path] = digest
            else:
                resumed |= partial.size() > 0
                digests[file.path] = self._one(file, partial, left)
                with writing(target.parent):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    publish(partial.path, target)
                    with replacing(done) as stream:
                        stream.write(digests[file.path].encode())
                    partial.discard()
            if left is not None:
                left -= target.stat().st_size
        with writing(self.folder):
            for name in files_below(self.folder / CONTENT):
                if name not in digests:  # the source has dropped it since an earlier attempt
                    (self.folder / CONTENT / name).unlink()
        return digests, resumed

    def _one(self, file: RemoteFile, partial: Partial, allowance: int | None) -> str:
        """Return the digest of a file whose partial is complete then."""
        download = Download(file, self.source.ask, partial, allowance, self.limits, self.report)
        pieces = partial.size() > 0
        while True:
            download.run()
            self.report(f"checking {file.shown}: {megabytes(partial.size(), None)}")
            digest = file_digest(partial.path)
            if file.sha256 in {None, digest}:
                return digest
            partial.discard()
            if not pieces:
                raise corrupt(
                    f"{file.shown}: its sha256 is {digest}, and the source lists {file.sha256}; "
                    "the source or the way to it is damaged"
                )
            pieces = False

    def _digest(self, digests: Mapping[str, str]) -> str:
        if self.source.is_folder:
            return digest_of_list(digests)
        return next(iter(digests.values()))


def _source(location: Location, credentials: Credentials, limits: Limits) -> Source:
    # Each library takes a second to be imported, and a run needs one of them at most.
    if location.scheme is Scheme.S3:
        from puna_trainer.storage.bucket import Bucket  # noqa: PLC0415

        return Bucket(location, credentials, limits)
    if location.scheme is Scheme.HUB:
        from puna_trainer.storage.hub import Hub  # noqa: PLC0415

        return Hub(location, credentials, limits)
    return Web(location, credentials)


def _in_place(location: Location, sha256: str | None, report: Report) -> Path:
    path = Path(unquote(location.path))
    try:
        if not path.exists():
            raise unusable(
                f"{location.field}: {path} does not exist; correct the address, or mount the "
                "volume that holds it"
            )
        if sha256 is not None:
            report(f"checking {path}")
            digest = digest_of(path)
            if digest != sha256:
                raise _mismatch(location, digest)
    except OSError as error:
        raise unusable(f"{location.field}: {error.filename or path}: {error.strerror}") from error
    return path


def _published(
    destination: Path, location: Location, sha256: str | None, report: Report
) -> Path | None:
    """Return what an earlier run put there, if it is what is wanted and still whole."""
    try:
        record = json.loads((destination / RECORD).read_text("utf-8"))
        found = destination / CONTENT
        path = _content(destination, is_folder=record["isFolder"])
        report(f"checking {found}")
        whole = digest_of(path) == record["sha256"]
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None
    wanted = record.get("address") == _address_key(location) and sha256 in {
        None,
        record["sha256"],
    }
    return path if whole and wanted else None


def _digest_if_whole(target: Path, done: Path) -> str | None:
    """Return the digest of a file that is what came; a crash of the machine may have damaged it."""
    if not (target.exists() and done.exists()):
        return None
    digest = file_digest(target)
    return digest if done.read_text() == digest else None


def _content(destination: Path, *, is_folder: bool) -> Path:
    content = destination / CONTENT
    return content if is_folder else next(content.iterdir())


def _address_key(location: Location) -> str:
    """Return what tells an address from others without showing its query."""
    return hashlib.sha256(location.uri.encode()).hexdigest()


def _file_key(file: RemoteFile) -> str:
    """Return a name for the partial file: another version of the file has another one."""
    named = "\0".join((file.path, file.version or "", str(file.size)))
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _mismatch(location: Location, digest: str) -> TrainingError:
    field = location.field.replace("uri", "sha256")
    return corrupt(
        f"{location.field}: the sha256 of {location.shown} is {digest}; correct {field}, or name "
        "the data it belongs to"
    )
