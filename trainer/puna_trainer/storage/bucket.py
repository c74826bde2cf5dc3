"""Bucket: objects of a store that speaks S3.

s3fs lists them and signs their addresses; the bytes come like those of any other address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from s3fs import S3FileSystem

from puna_trainer.storage.credentials import Credentials
from puna_trainer.storage.faults import BrokenOffError, corrupt, unusable
from puna_trainer.storage.location import Location
from puna_trainer.storage.retry import Limits
from puna_trainer.storage.source import Ask, RemoteFile, check_path

SIGNED_SECONDS: Final = 3600
"""How long an address may be used; one is signed for each attempt."""
ADVICE: Final = (
    "give accessKeyId and secretAccessKey (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) of one who "
    "may, and endpoint (AWS_ENDPOINT_URL) where the store is not Amazon's"
)


class Bucket:
    """The object, or the folder of objects, behind an s3 address."""

    def __init__(self, location: Location, credentials: Credentials, limits: Limits) -> None:
        self._location = location
        self._system = file_system(credentials, limits)
        self.is_folder = False

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the objects."""
        location = self._location
        shown = f"{location.field}: {location.shown}"
        with translated(shown):
            entry = self._system.info(location.path)
            self.is_folder = entry["type"] == "directory"
            if not self.is_folder:
                return (_remote(entry, location.name, shown),)
            found = self._system.find(location.path, detail=True)
        root = location.path.rstrip("/") + "/"
        files = tuple(
            _remote(
                entry, name.removeprefix(root), f"{shown.rstrip('/')}/{name.removeprefix(root)}"
            )
            for name, entry in sorted(found.items())
            if not name.endswith("/")
        )
        if not files:
            raise corrupt(f"{shown} holds no files")
        return files

    def ask(self, file: RemoteFile) -> Ask:
        """Return a signed request."""
        location = self._location
        path = location.path.rstrip("/") + (f"/{file.path}" if self.is_folder else "")
        with translated(file.shown):
            return Ask(self._system.sign(path, expiration=SIGNED_SECONDS))


def file_system(credentials: Credentials, limits: Limits) -> S3FileSystem:
    """Return the store that the credentials are for."""
    return S3FileSystem(
        key=credentials.get("accessKeyId"),
        secret=credentials.get("secretAccessKey"),
        token=credentials.get("sessionToken"),
        endpoint_url=credentials.get("endpoint"),
        client_kwargs={"region_name": credentials.get("region")},
        config_kwargs={
            "signature_version": "s3v4",  # addresses are signed by an older one otherwise
            "connect_timeout": limits.connect,
            "read_timeout": limits.stall,
            "retries": {"max_attempts": 1},
        },
        skip_instance_cache=True,
        use_listings_cache=False,
    )


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Say what an error of the store means.

    Raises:
        TrainingError: BadConfig, the store will say the same next time.
        BrokenOffError: the store may have recovered by the next attempt.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise unusable(f"{shown}: nothing lies there, correct the address") from error
    except (PermissionError, NoCredentialsError, PartialCredentialsError) as error:
        raise unusable(f"{shown}: the store gives no access ({error}); {ADVICE}") from error
    except (BotoCoreError, ClientError, OSError) as error:
        raise BrokenOffError(f"{shown}: the store cannot be used: {error}") from error


def _remote(entry: dict[str, Any], path: str, shown: str) -> RemoteFile:
    return RemoteFile(check_path(path, shown), shown, entry["size"], entry.get("ETag"))
