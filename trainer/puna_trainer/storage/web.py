"""Web: one file or archive of a web server."""

from __future__ import annotations

from puna_trainer.storage.credentials import Credentials
from puna_trainer.storage.faults import unusable
from puna_trainer.storage.location import Location
from puna_trainer.storage.source import Ask, RemoteFile, check_path


class Web:
    """The file behind an http or https address."""

    is_folder = False

    def __init__(self, location: Location, credentials: Credentials) -> None:
        self._location = location
        self._credentials = credentials

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the one file; what it is like, its reply says."""
        location = self._location
        shown = f"{location.field}: {location.shown}"
        if location.shown.endswith("/"):
            raise unusable(f"{shown} names a folder; a web server gives single files and archives")
        return (RemoteFile(check_path(location.name, shown), shown),)

    def ask(self, file: RemoteFile) -> Ask:  # noqa: ARG002 - there is one
        """Return its request."""
        authorization = self._credentials.authorization
        headers = {"Authorization": authorization} if authorization else {}
        return Ask(self._location.uri, headers)
