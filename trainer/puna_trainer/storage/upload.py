"""Upload: copy an artifact elsewhere, and prove that it arrived.

The copy is read back and hashed. One that is there already with the right digest is left alone, so
a run that goes on uploads nothing twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from puna_trainer.errors import NO_ROOM, TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import file_digest
from puna_trainer.storage.atomic import publish
from puna_trainer.storage.credentials import read_credentials
from puna_trainer.storage.digest import files_below
from puna_trainer.storage.download import Report, persist
from puna_trainer.storage.faults import BrokenOffError
from puna_trainer.storage.location import Location, Scheme, locate
from puna_trainer.storage.retry import PATIENT, Limits

FIELD: Final = "upload"
CHUNK: Final = 8 * 1024 * 1024


def upload(
    path: Path,
    uri: str,
    *,
    report: Report,
    environment: Mapping[str, str] = os.environ,
    limits: Limits = PATIENT,
) -> str:
    """Copy a file, or a folder's files, into the folder that an address names.

    Returns:
        Address of the copy.

    Raises:
        TrainingError: UploadFailed, after all retries or at once where none would help.
    """
    location = locate(uri, FIELD)
    sent = f"{uri.rstrip('/')}/{path.name}"
    names = [f"{path.name}/{name}" for name in files_below(path)] if path.is_dir() else [path.name]
    target = _target(location, environment, limits)
    for name in names:
        attempt = partial(_send, target, path.parent / name, name, location, report)
        try:
            persist(attempt, lambda: 0, limits, report)
        except TrainingError as error:
            raise TrainingError(
                FailureReason.UPLOAD_FAILED, f"{error.message}; the artifact lies at {path}"
            ) from error
    return sent


def _send(target: _Target, source: Path, name: str, location: Location, report: Report) -> None:
    digest = file_digest(source)
    if target.digest(name) == digest:
        return
    report(f"uploading {name}")
    target.put(source, name)
    report(f"reading back {name}")
    found = target.digest(name)
    if found != digest:
        raise BrokenOffError(
            f"{FIELD}: what arrived at {location.shown} as {name} has sha256 {found}, not {digest}"
        )


class _Folder:
    """A folder of this machine."""

    def __init__(self, location: Location) -> None:
        self._folder = Path(unquote(location.path))

    def digest(self, name: str) -> str | None:
        path = self._folder / name
        return file_digest(path) if path.is_file() else None

    def put(self, source: Path, name: str) -> None:
        path = self._folder / name
        temporary = path.with_name(path.name + ".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, temporary)
            publish(temporary, path)
        except OSError as error:
            raise TrainingError(
                FailureReason.UPLOAD_FAILED,
                f"{FIELD}: {path}: {error.strerror or error}; "
                + ("make room there" if error.errno in NO_ROOM else "the folder must be writable"),
            ) from error


class _Bucket:
    """A folder of a store that speaks S3."""

    def __init__(self, location: Location, environment: Mapping[str, str], limits: Limits) -> None:
        from puna_trainer.storage.bucket import file_system, translated  # noqa: PLC0415

        self._location = location
        self._system = file_system(read_credentials(environment), limits)
        self._translated = translated

    def _path(self, name: str) -> str:
        return f"{self._location.path.rstrip('/')}/{name}"

    def digest(self, name: str) -> str | None:
        digest = hashlib.sha256()
        with self._translated(f"{FIELD}: {self._location.shown}"):
            if not self._system.exists(self._path(name)):
                return None
            with self._system.open(self._path(name), cache_type="none") as stream:
                while chunk := stream.read(CHUNK):
                    digest.update(chunk)
        return digest.hexdigest()

    def put(self, source: Path, name: str) -> None:
        with self._translated(f"{FIELD}: {self._location.shown}"):
            self._system.put_file(str(source), self._path(name))


_Target = _Folder | _Bucket


def _target(location: Location, environment: Mapping[str, str], limits: Limits) -> _Target:
    if location.scheme is Scheme.S3:
        return _Bucket(location, environment, limits)
    return _Folder(location)
