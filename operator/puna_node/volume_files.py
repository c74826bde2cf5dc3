"""Files of volumes that the API server fills: configMap, secret, downwardAPI, projected. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from puna_node.fields import Downward, field_value, resource_value
from puna_node.manifest import Manifest, volumes
from puna_node.sources import CONFIG_MAP, SECRET, SourceRef, Sources, all_keys, one_key

CONTENT_KINDS: Final = ("configMap", "secret", "downwardAPI", "projected")
DEFAULT_MODE: Final = 0o644
DEFAULT_TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A service-account token that a projected volume asks for."""

    audience: str
    seconds: int


@dataclass(frozen=True, slots=True)
class FileContent:
    """Bytes of a file and its permissions."""

    data: bytes
    mode: int = DEFAULT_MODE


Tokens = Mapping[TokenRequest, str]
Files = dict[str, FileContent]


def content_folders(pod: Manifest, places: Mapping[str, str]) -> tuple[str, ...]:
    """Folders of the volumes that the API server fills."""
    return tuple(
        places[volume["name"]]
        for volume in volumes(pod)
        if any(kind in volume for kind in CONTENT_KINDS) and volume["name"] in places
    )


def token_requests(pod: Manifest) -> frozenset[TokenRequest]:
    """Tokens that the Pod's projected volumes ask for."""
    return frozenset(
        _token_request(part["serviceAccountToken"])
        for volume in volumes(pod)
        for part in (volume.get("projected") or {}).get("sources") or ()
        if "serviceAccountToken" in part
    )


def volume_files(volume: Manifest, sources: Sources, tokens: Tokens, downward: Downward) -> Files:
    """Files of one volume by their path in it.

    Raises:
        MissingSourceError: a source or key is not there and not optional.
        UnknownFieldError: a field that the downward API does not have.
    """
    if "configMap" in volume:
        part = volume["configMap"]
        return _from_source(SourceRef(CONFIG_MAP, part["name"]), part, sources, _mode(part))
    if "secret" in volume:
        part = volume["secret"]
        return _from_source(SourceRef(SECRET, part["secretName"]), part, sources, _mode(part))
    if "downwardAPI" in volume:
        part = volume["downwardAPI"]
        return _from_fields(part.get("items") or (), downward, _mode(part))
    files: Files = {}
    projected = volume["projected"]
    for part in projected.get("sources") or ():
        files |= _from_projection(part, sources, tokens, downward, _mode(projected))
    return files


def _from_projection(
    part: Manifest, sources: Sources, tokens: Tokens, downward: Downward, mode: int
) -> Files:
    if "serviceAccountToken" in part:
        token = part["serviceAccountToken"]
        return {token["path"]: FileContent(tokens[_token_request(token)].encode(), 0o600)}
    if "configMap" in part:
        source = part["configMap"]
        return _from_source(SourceRef(CONFIG_MAP, source["name"]), source, sources, mode)
    if "secret" in part:
        source = part["secret"]
        return _from_source(SourceRef(SECRET, source["name"]), source, sources, mode)
    return _from_fields((part.get("downwardAPI") or {}).get("items") or (), downward, mode)


def _from_source(reference: SourceRef, part: Manifest, sources: Sources, mode: int) -> Files:
    optional = bool(part.get("optional"))
    items = part.get("items")
    if not items:
        data = all_keys(reference, sources, optional=optional)
        return {key: FileContent(value, mode) for key, value in data.items()}
    found = ((item, one_key(reference, item["key"], sources, optional=optional)) for item in items)
    return {
        item["path"]: FileContent(value, item.get("mode", mode))
        for item, value in found
        if value is not None
    }


def _from_fields(items: Iterable[Manifest], downward: Downward, mode: int) -> Files:
    def read(item: Manifest) -> str:
        if "fieldRef" in item:
            return field_value(item["fieldRef"]["fieldPath"], downward)
        return resource_value(item["resourceFieldRef"], downward, "")

    return {
        item["path"]: FileContent(read(item).encode(), item.get("mode", mode)) for item in items
    }


def _token_request(token: Manifest) -> TokenRequest:
    return TokenRequest(
        token.get("audience", ""), int(token.get("expirationSeconds", DEFAULT_TOKEN_SECONDS))
    )


def _mode(part: Manifest) -> int:
    return int(part.get("defaultMode", DEFAULT_MODE))
