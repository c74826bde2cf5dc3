"""Hub: files of a repository of the Hugging Face hub, or of the mirror that HF_ENDPOINT names.

Its library resolves the address and lists the files of one commit; the bytes come like those of any
other address. Its own downloads would follow neither our limits nor our report.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import httpx2
from huggingface_hub import HfApi, HfUri, RepoFile, get_token, hf_hub_url, parse_hf_uri
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HfUriError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from puna_trainer.storage.credentials import Credentials
from puna_trainer.storage.faults import BrokenOffError, unusable
from puna_trainer.storage.location import Location
from puna_trainer.storage.retry import Limits
from puna_trainer.storage.source import Ask, RemoteFile, check_path


class Hub:
    """The file or folder behind an `hf://` address."""

    def __init__(self, location: Location, credentials: Credentials, limits: Limits) -> None:
        self._location = location
        self._limits = limits
        token = credentials.get("token") or credentials.get("hubToken")
        self._api = HfApi(credentials.get("hubEndpoint"), token=token)
        self._commit = ""
        self.is_folder = False

    @property
    def _shown(self) -> str:
        return f"{self._location.field}: {self._location.shown}"

    def files(self) -> tuple[RemoteFile, ...]:
        """Return the files of the commit that the address names now."""
        uri, shown = self._uri(), self._shown
        with translated(shown, self._api.endpoint):
            info = self._api.repo_info(
                uri.id, repo_type=uri.type, revision=uri.revision, timeout=self._limits.stall
            )
            self._commit = info.sha or "main"
            found = self._named(uri)
            self.is_folder = found is None
            if found is not None:
                return (_remote(found, self._location.name, shown),)
            entries = [
                entry
                for entry in self._api.list_repo_tree(
                    uri.id,
                    uri.path_in_repo or None,
                    recursive=True,
                    revision=self._commit,
                    repo_type=uri.type,
                )
                if isinstance(entry, RepoFile)
            ]
        if not entries:
            raise unusable(f"{shown} holds no files, correct the address")
        root = f"{uri.path_in_repo}/" if uri.path_in_repo else ""
        files = (
            _remote(
                entry,
                entry.path.removeprefix(root),
                f"{shown.rstrip('/')}/{entry.path.removeprefix(root)}",
            )
            for entry in entries
        )
        return tuple(sorted(files, key=lambda file: file.path))

    def ask(self, file: RemoteFile) -> Ask:
        """Return the request for one of the files, at the commit that was listed."""
        uri = self._uri()
        path = f"{uri.path_in_repo}/{file.path}".lstrip("/")
        url = hf_hub_url(
            uri.id,
            path if self.is_folder else uri.path_in_repo,
            repo_type=uri.type,
            revision=self._commit,
            endpoint=self._api.endpoint,
        )
        token = self._api.token or get_token()
        return Ask(url, {"Authorization": f"Bearer {token}"} if token else {})

    def _uri(self) -> HfUri:
        try:
            return parse_hf_uri(self._location.uri)
        except HfUriError as error:
            raise unusable(f"{self._shown}: {error}") from error

    def _named(self, uri: HfUri) -> RepoFile | None:
        """Return the file that the address names; None if it is a folder."""
        if not uri.path_in_repo:
            return None
        found = self._api.get_paths_info(
            uri.id, [uri.path_in_repo], revision=self._commit, repo_type=uri.type
        )
        if not found:
            raise unusable(f"{self._shown}: nothing lies there, correct the address")
        return found[0] if isinstance(found[0], RepoFile) else None


@contextmanager
def translated(shown: str, endpoint: str) -> Iterator[None]:
    """Say what an error of the hub means.

    Raises:
        TrainingError: BadConfig, the hub will say the same next time.
        BrokenOffError: the hub may have recovered by the next attempt.
    """
    try:
        yield
    except GatedRepoError as error:
        raise unusable(
            f"{shown}: the hub asks to accept its terms first; accept them there, and give the "
            "token of who did"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError) as error:
        raise unusable(
            f"{shown}: the hub at {endpoint} has no such thing for this token; correct the "
            "address, or give a token that may read it"
        ) from error
    except (HFValidationError, OfflineModeIsEnabled) as error:
        raise unusable(f"{shown}: {error}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = f"{shown}: the hub at {endpoint} answers {status}"
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise unusable(f"{said}; give a token that may read it") from error
        raise BrokenOffError(said) from error
    except (httpx2.HTTPError, OSError) as error:
        raise BrokenOffError(
            f"{shown}: the hub at {endpoint} cannot be reached: {error}"
        ) from error


def _remote(entry: RepoFile, path: str, shown: str) -> RemoteFile:
    digest = entry.lfs.sha256 if entry.lfs else None
    return RemoteFile(check_path(path, shown), shown, entry.size, entry.blob_id, digest)
