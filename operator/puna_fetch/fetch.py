"""One fetch, whatever its scheme.

What a scheme needs is imported when it is needed: most fetches find their file.
"""

from __future__ import annotations

from collections.abc import Callable

from puna_fetch.progress import Reporter
from puna_fetch.reasons import FetchStage
from puna_fetch.record import cached_record_path, is_vouched_for
from puna_fetch.request import Request


def fetch(request: Request, reporter: Reporter, log: Callable[[str], None]) -> None:
    """Put the file in place, or confirm that it is.

    Raises:
        FetchFailed: with the reason why not.
    """
    if request.is_local:
        from puna_fetch.local import verify_in_place  # noqa: PLC0415

        verify_in_place(request, reporter, log)
        return
    sha256, destination = request.sha256, request.destination
    if sha256 is None:
        raise ValueError("a request that was parsed has a digest for every remote scheme")
    if is_vouched_for(cached_record_path(destination), destination, sha256):
        size = destination.stat().st_size
        reporter.report(FetchStage.VERIFYING, size, size)
        return
    from puna_fetch.cached import fetch_into_cache  # noqa: PLC0415

    fetch_into_cache(request, sha256, reporter, log)
