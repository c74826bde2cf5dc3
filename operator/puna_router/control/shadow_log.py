"""Access loggers of copies: lines that say so, and series of their own, by no key.

A copy for which there was no slot, or none any more, counts as dropped and nowhere else.
"""

from __future__ import annotations

from typing import Final

from puna_router.control.access_log import (
    CODE_TAG,
    ENDPOINT_TAG,
    LINE,
    REVISION_TAG,
    TOKENS,
    lines,
    requests,
    sent_on,
    times,
    token_times,
    tokens,
)
from puna_router.control.errors import METADATA
from puna_router.control.headers import TARGET
from puna_router.control.world import Resource
from puna_router.picker.messages import ANSWERED, REASON

PREFIX: Final = "shadow_"
_REASON_TAG: Final = {"name": "reason", "value_format": f"%DYNAMIC_METADATA({METADATA}:{REASON})%"}
"""Why the picker dropped it; absent where no picker answered."""


def shadow_loggers() -> list[Resource]:
    """Loggers of the listener for copies."""
    kept, dropped = _answered(wanted=False), _answered(wanted=True)
    never_sent = {"header_filter": {"header": {"name": TARGET, "present_match": True}}}
    return [
        lines(LINE | {"shadow": "true"}),
        requests(f"{PREFIX}requests", (ENDPOINT_TAG, REVISION_TAG, CODE_TAG), sent_on(), kept),
        requests(
            f"{PREFIX}dropped",
            (ENDPOINT_TAG, _REASON_TAG),
            {"or_filter": {"filters": [never_sent, dropped]}},
        ),
        times(PREFIX, kept),
        *(tokens(name, prefix=PREFIX) for name in TOKENS),
        tokens("generation_milliseconds", prefix=PREFIX),
        token_times(PREFIX),
    ]


def _answered(*, wanted: bool) -> Resource:
    """Whether the picker answered in the server's place."""
    matcher = {"filter": METADATA, "path": [{"key": ANSWERED}], "value": {"bool_match": wanted}}
    return {"metadata_filter": {"matcher": matcher, "match_if_key_not_found": not wanted}}
