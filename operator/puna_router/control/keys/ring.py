"""Key rings: the API keys of one Secret, or why there are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from puna_router.config import ApiKey, Name
from puna_router.control.documents import plainly
from puna_router.control.secret import Secret

_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by name. An empty ring opens nothing, and neither does a closed one."""

    keys: Mapping[str, ApiKey] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """Members that are no key, each with the reason; the other keys work."""
    closed: str | None = None
    """Why no key can be read at all."""


def read_ring(secret: Secret) -> KeyRing:
    """Read the keys of a Secret."""
    if secret.problem is not None:
        return KeyRing(closed=secret.problem)
    keys: dict[str, ApiKey] = {}
    problems: list[str] = []
    owners: dict[str, str] = {}
    for member, content in sorted(secret.data.items()):
        where = f"Secret {secret.name}, member {member}"
        try:
            name = _NAME.validate_python(member)
            key = ApiKey.model_validate_json(content)
        except ValidationError as error:
            problems.append(f"{where}: {plainly(error)}")
            continue
        owner = owners.setdefault(key.sha256, name)
        if owner == name:
            keys[name] = key
        else:
            problems.append(f"{where}: the same key as {owner}")
    return KeyRing(keys, tuple(problems))


class KeyRings:
    """Key rings by Secret; one whose Secret is unchanged is the same object as before."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Secret, KeyRing]] = {}

    def of(self, secrets: Iterable[Secret]) -> dict[str, KeyRing]:
        """Read the rings of some Secrets, and forget all others."""
        known = {}
        for secret in secrets:
            before = self._known.get(secret.name)
            unchanged = before is not None and before[0] == secret
            known[secret.name] = before if before and unchanged else (secret, read_ring(secret))
        self._known = known
        return {name: ring for name, (_, ring) in known.items()}
