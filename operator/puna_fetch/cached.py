"""A file in the cache: found there, or downloaded, checked and published in one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from puna_fetch.addresses import parse_networks
from puna_fetch.atomic import publish
from puna_fetch.client import Client
from puna_fetch.credentials import read_authorization
from puna_fetch.digest import Digest, digest_of
from puna_fetch.download import Download
from puna_fetch.failure import FetchFailed, cache_failure, checksum_mismatch
from puna_fetch.hub import hub_url
from puna_fetch.identity import Identity
from puna_fetch.janitor import sweep
from puna_fetch.lock import hold
from puna_fetch.model_file import check_model
from puna_fetch.partial import Partial
from puna_fetch.progress import Reporter
from puna_fetch.reasons import FetchReason, FetchStage
from puna_fetch.record import Record, cached_record_path, is_vouched_for, write_record
from puna_fetch.request import Request
from puna_fetch.url import Url, parse_url


def fetch_into_cache(
    request: Request, sha256: str, reporter: Reporter, log: Callable[[str], None]
) -> None:
    """Put the file with this digest at the request's destination; the cache was found without it.

    Raises:
        FetchFailed: the source, the file or the cache does not allow it.
    """
    destination = request.destination
    url, client = _source(request)
    if client.authorization and not url.is_encrypted:
        log(f"{url}: the credentials are sent without encryption")
    partial = Partial(destination, sha256)

    def waiting() -> None:
        note = partial.note()
        reporter.report(FetchStage.WAITING, partial.size(), note.total if note else None)

    lock_path = destination.with_name(destination.name + ".lock")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with (
            hold(lock_path, patience=request.limits.wait, on_wait=waiting) as lock,
            reporter.telling(lock.touch),
        ):
            if is_vouched_for(cached_record_path(destination), destination, sha256):
                size = destination.stat().st_size
                reporter.report(FetchStage.VERIFYING, size, size)
                return
            if _is_good(request, sha256, reporter, log):
                return
            _make_room(destination, sha256, log)
            download = Download(
                uri=request.uri,
                url=url,
                sha256=sha256,
                max_bytes=request.max_bytes,
                client=client,
                partial=partial,
                reporter=reporter,
                log=log,
            )
            _complete(download, destination)
    except OSError as error:
        raise cache_failure(error, destination.parent) from error


def _complete(download: Download, destination: Path) -> None:
    partial, sha256 = download.partial, download.sha256
    came_in_one_piece = download.run()
    digest = _digest(partial.path, download.reporter)
    if digest.sha256 != sha256 and not came_in_one_piece:
        download.log(f"{download.uri}: the pieces make another digest; downloading it anew")
        partial.discard()
        download.run()
        digest = _digest(partial.path, download.reporter)
    if digest.sha256 != sha256:
        note = partial.note()
        if note is not None:
            partial.reject(replace(note, rejected=digest.sha256))
        raise checksum_mismatch(download.uri, digest.sha256)
    # What fails here stays: it is what was asked for, and need not be downloaded to fail again.
    check_model(partial.path, download.uri, is_alone=True)
    publish(partial.path, destination)
    partial.forget_note()
    _remember(destination, sha256, download.log)


def _is_good(request: Request, sha256: str, reporter: Reporter, log: Callable[[str], None]) -> bool:
    destination = request.destination
    if not destination.exists():
        return False
    if _digest(destination, reporter).sha256 != sha256:
        log(f"{destination}: another digest than its folder says; downloading it anew")
        destination.unlink()
        return False
    check_model(destination, request.uri, is_alone=True)
    _remember(destination, sha256, log)
    return True


def _digest(path: Path, reporter: Reporter) -> Digest:
    return digest_of(path, lambda done, total: reporter.report(FetchStage.VERIFYING, done, total))


def _make_room(destination: Path, sha256: str, log: Callable[[str], None]) -> None:
    if destination.parent.name != sha256:
        return  # not the layout of the cache: nothing else there is ours
    try:
        sweep(destination.parent.parent, log)
    except OSError as error:
        log(f"abandoned partial files were left alone: {error}")


def _remember(destination: Path, sha256: str, log: Callable[[str], None]) -> None:
    try:
        record = Record(sha256, Identity.of(destination.stat()))
        write_record(cached_record_path(destination), record)
    except OSError as error:
        # The file is in place all the same; it is hashed again next time.
        log(f"no record was written: {error}")


def _source(request: Request) -> tuple[Url, Client]:
    try:
        networks = parse_networks(request.allowed_networks)
        url = hub_url(request.uri) if request.scheme == "hf" else parse_url(request.uri)
    except ValueError as error:
        # Not the uri itself: it may hold a password.
        raise FetchFailed(FetchReason.INVALID_REQUEST, f"{request.scheme}: {error}") from error
    authorization = read_authorization(request.credentials_directory)
    return url, Client(networks, request.limits, request.ca_file, authorization)
