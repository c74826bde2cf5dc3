"""Why a fetch fails and what it is doing; standard library only, for a fast start."""

from __future__ import annotations

from enum import StrEnum


class FetchReason(StrEnum):
    """Why a fetch failed: the `reason` of its termination message."""

    CHECKSUM_MISMATCH = "ChecksumMismatch"
    """The file's SHA-256 is another than the one asked for."""
    FILE_NOT_FOUND = "FileNotFound"
    """There is no such file at the source, or it cannot be read there."""
    DISK_FULL = "DiskFull"
    """The cache volume has too little room."""
    CACHE_UNUSABLE = "CacheUnusable"
    """The cache volume cannot be written or locked, or another fetch holds it without moving on."""
    ADDRESS_REFUSED = "AddressRefused"
    """The address, or one it redirects or resolves to, is not allowed."""
    UNAUTHORIZED = "Unauthorized"
    """The source refused the credentials, or wants some."""
    DOWNLOAD_FAILED = "DownloadFailed"
    """The source did not answer, or broke off, after all retries."""
    INVALID_MODEL = "InvalidModel"
    """The file is no complete GGUF."""
    INVALID_REQUEST = "InvalidRequest"
    """The request itself cannot be honoured."""


class FetchStage(StrEnum):
    """What a running fetch is doing."""

    WAITING = "Waiting"
    """Another fetch of the same file holds the lock."""
    DOWNLOADING = "Downloading"
    """Bytes come from the source; also while it is asked again after a failure."""
    VERIFYING = "Verifying"
    """The digest of the file is computed."""
