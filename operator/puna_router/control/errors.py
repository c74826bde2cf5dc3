"""Bodies of the replies that Envoy makes itself: always the error document that clients expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from puna_router.control.world import Resource

METADATA: Final = "puna"
"""Namespace of the dynamic metadata that the filters share."""


@dataclass(frozen=True, slots=True)
class LocalReply:
    """How one kind of Envoy's own replies is told to the client."""

    flags: tuple[str, ...]
    """Envoy's response flags that mean it."""
    status: int
    type: str
    reason: str
    message: str
    retry_after: int | None = None
    """Seconds after which another attempt may succeed."""


REPLIES: Final = (
    LocalReply(
        ("UH", "NC"),
        503,
        "unavailable_error",
        "no_healthy_endpoint",
        "no backend of this model is healthy",
        retry_after=5,
    ),
    LocalReply(
        ("UO",),
        429,
        "overloaded_error",
        "overloaded",
        "too many requests are under way",
        retry_after=2,
    ),
    LocalReply(
        ("UF", "URX"),
        503,
        "unavailable_error",
        "backend_unreachable",
        "the backend could not be reached",
        retry_after=1,
    ),
    LocalReply(
        ("UC", "UR", "LR", "UPE"),
        502,
        "server_error",
        "backend_failed",
        "the backend ended the connection before it answered",
        retry_after=1,
    ),
    LocalReply(
        ("UT", "SI", "DT", "UMSDR"),
        504,
        "timeout_error",
        "backend_timeout",
        "the backend was silent for too long",
    ),
    LocalReply(("NR",), 404, "not_found_error", "path_not_found", "this path is not served here"),
)
"""First match wins."""
RATE_LIMITED: Final = LocalReply(
    (),
    429,
    "rate_limit_error",
    "rate_limited",
    f"this API key may send %DYNAMIC_METADATA({METADATA}:limit:rate)% requests per minute",
)
"""Told by the reply's details rather than by a flag."""


def local_reply_config() -> Resource:
    """Mappers of the listener, most specific first."""
    return {"mappers": [*(_mapper(reply) for reply in REPLIES), _rate_limited(), *_by_status()]}


def _mapper(reply: LocalReply) -> Resource:
    mapper: Resource = {
        "filter": {"response_flag_filter": {"flags": list(reply.flags)}},
        "status_code": reply.status,
        "body_format_override": _format(reply.status, reply.type, reply.reason, reply.message),
    }
    if reply.retry_after is not None:
        mapper["headers_to_add"] = [_header("retry-after", str(reply.retry_after))]
    return mapper


def _header(name: str, value: str) -> Resource:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _rate_limited() -> Resource:
    """A key over its requests per minute; Envoy flags such a reply only after it is made.

    Rate and pace are what `lua/access.lua` noted of the key.
    """
    return {
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": "response.code_details == 'local_rate_limited'",
                },
            }
        },
        "status_code": RATE_LIMITED.status,
        "body_format_override": _format(
            RATE_LIMITED.status, RATE_LIMITED.type, RATE_LIMITED.reason, RATE_LIMITED.message
        ),
        "headers_to_add": [_header("retry-after", f"%DYNAMIC_METADATA({METADATA}:limit:pace)%")],
    }


def _by_status() -> list[Resource]:
    """Everything else from 400 on that no filter of ours answered: a wrong request and the like."""
    return [
        _rest(413, "EQ", "invalid_request_error", "body_too_large", "a body may have 32 MiB"),
        _rest(500, "GE", "server_error", "%RESPONSE_CODE_DETAILS%", "%LOCAL_REPLY_BODY%"),
        _rest(400, "GE", "invalid_request_error", "%RESPONSE_CODE_DETAILS%", "%LOCAL_REPLY_BODY%"),
    ]


def _rest(status: int, operation: str, kind: str, reason: str, message: str) -> Resource:
    comparison = {
        "op": operation,
        "value": {"default_value": status, "runtime_key": "puna.local_reply"},
    }
    answered = {
        "matcher": {
            "filter": METADATA,
            "path": [{"key": "answered"}],
            "value": {"bool_match": False},
        },
        "match_if_key_not_found": True,
    }
    filters = [{"status_code_filter": {"comparison": comparison}}, {"metadata_filter": answered}]
    return {
        "filter": {"and_filter": {"filters": filters}},
        "body_format_override": _format("%RESPONSE_CODE%", kind, reason, message),
    }


def _format(code: Any, kind: str, reason: str, message: str) -> Resource:
    error = {
        "code": code,
        "type": kind,
        "reason": reason,
        "message": message,
        "request_id": "%REQ(x-request-id)%",
    }
    document = {"type": "error", "error": error}
    return {"json_format": document, "content_type": "application/json"}
