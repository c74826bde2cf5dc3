"""One API key and its document. Pure: random bytes and the time come in."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from puna_cli.errors import CommandError
from puna_router.config import ApiKey, Name

PREFIX: Final = "puna_"
"""How every key begins, so that a scanner of sources finds one."""
KEY_BYTES: Final = 32
LONGEST_NAME: Final = 63
_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that has just been made: the only moment at which it is known."""

    text: str
    document: ApiKey


def new_key(random: bytes, **limits: Any) -> NewKey:
    """Make a key of 256 random bits; `limits` are the other members of its document.

    Raises:
        CommandError: A limit cannot be; says which.
    """
    text = PREFIX + urlsafe_b64encode(random).decode().rstrip("=")
    digest = sha256(text.encode()).hexdigest()
    members = {to_camel(name): value for name, value in limits.items()}
    try:
        return NewKey(text, ApiKey.model_validate({"sha256": digest, **members}))
    except ValidationError as error:
        raise CommandError(plainly(error)) from None


def read_key(content: bytes) -> ApiKey | str:
    """Return the document in a member of a Secret, or why it is none."""
    try:
        return ApiKey.model_validate_json(content)
    except ValidationError as error:
        return plainly(error)


def checked_name(name: str) -> str:
    """Return a name that a key may have.

    Raises:
        CommandError: It may not.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise CommandError(
            f"{name!r} is no name of a key: use lower case letters, digits and '-', beginning "
            "with a letter"
        ) from None


def successor(name: str, taken: Container[str]) -> str:
    """Name of the key that follows another: `alice`, `alice-2`, `alice-3`."""
    stem = re.sub(r"-\d+$", "", name)
    number = 2
    while (found := f"{stem[: LONGEST_NAME - len(f'-{number}')]}-{number}") in taken:
        number += 1
    return found


def ending(key: ApiKey, at: datetime) -> ApiKey:
    """The document with an end: this one, or its own if that is sooner."""
    end = at if key.expires_at is None else min(at, key.expires_at)
    return key.model_copy(update={"expires_at": end})


def renewed(key: ApiKey, random: bytes, expires_at: datetime | None) -> NewKey:
    """Make a key with the limits of another."""
    limits = key.model_dump(exclude={"sha256", "expires_at"})
    return new_key(random, **limits, expires_at=expires_at)


def span(text: str) -> timedelta:
    """Return a time such as 90s, 30m, 24h, 30d or 2w.

    Raises:
        ValueError: It is none.
    """
    found = re.fullmatch(r"([1-9]\d{0,6})([smhdw])", text)
    if found is None:
        raise ValueError(f"{text!r} is no time such as 90s, 30m, 24h, 30d or 2w")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def second(moment: datetime) -> datetime:
    """The moment in UTC, without fractions of a second."""
    return moment.astimezone(UTC).replace(microsecond=0)


def row(name: str, found: ApiKey | str, now: datetime) -> Mapping[str, Any]:
    """What `puna key list` tells of a key."""
    if isinstance(found, str):
        return {"name": name, "state": f"invalid: {found}"}
    over = found.expires_at is not None and found.expires_at <= now
    document = found.model_dump(
        mode="json", by_alias=True, exclude={"sha256"}, exclude_none=True, exclude_defaults=True
    )
    return {"name": name, "state": "expired" if over else "active", **document}


def plainly(error: ValidationError) -> str:
    """Each problem with the member it is in, and never what the member holds."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'document'}: {problem['msg']}"
        for problem in problems
    )
