"""Preparing a Pod: reading what it names, making its folders, filling its volumes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from puna_node.context import Context
from puna_node.fields import Downward
from puna_node.manifest import Manifest, all_containers, parse_time, pod_key, volumes
from puna_node.sources import SourceRef, Sources, source_data, source_references
from puna_node.state import PodFolder
from puna_node.volume_files import (
    CONTENT_KINDS,
    DEFAULT_TOKEN_SECONDS,
    TokenRequest,
    token_requests,
    volume_files,
)
from puna_node.volume_store import VolumeError, host_folder, own, write_files

TOKEN_USED: Final = 0.8
"""Part of a token's life after which a new one is fetched."""
SHORTEST_TOKEN: Final = 600


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when to replace it."""

    text: str
    replace_at: datetime


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a Pod's containers are started with."""

    sources: Sources
    volumes: Mapping[str, str]
    """Folder of each volume."""
    tokens: Mapping[TokenRequest, Token] = field(default_factory=dict)


async def prepare(
    pod: Manifest, folder: PodFolder, address: str, context: Context, before: Prepared | None
) -> Prepared:
    """Read what the Pod names and make its volumes hold it; called again to refresh them.

    Raises:
        MissingSourceError: a ConfigMap, Secret or key is not there.
        UnknownFieldError: a field that the downward API does not have.
        VolumeError: this host cannot provide a volume.
        ApiError, ApiUnreachableError: the API server refused or did not answer.
    """
    sources, tokens = await asyncio.gather(
        _read_sources(pod, context), _read_tokens(pod, context, before.tokens if before else {})
    )
    downward = Downward(pod, address, context.node_address, context.allocatable)
    texts = {request: token.text for request, token in tokens.items()}
    places: dict[str, str] = {}
    for volume in volumes(pod):
        place = _place(pod, volume, folder, context)
        if any(kind in volume for kind in CONTENT_KINDS):
            write_files(place, volume_files(volume, sources, texts, downward), user=context.user)
        places[volume["name"]] = str(place)
    if before is None:
        _make_homes(pod, folder, places, context)
    return Prepared(sources, places, tokens)


def _place(pod: Manifest, volume: Manifest, folder: PodFolder, context: Context) -> Path:
    if "hostPath" in volume:
        return host_folder(volume, context.config.allowed_host_paths)
    if "persistentVolumeClaim" in volume:
        if context.config.volume_root is None:
            raise VolumeError("this node has no folder for claims")
        claim = volume["persistentVolumeClaim"]["claimName"]
        place = Path(context.config.volume_root, pod["metadata"]["namespace"], claim)
    else:
        place = folder.volume(volume["name"])
    if not place.exists():
        place.mkdir(mode=0o750, parents=True)
        own(place, context.user)
    return place


def _make_homes(
    pod: Manifest, folder: PodFolder, places: Mapping[str, str], context: Context
) -> None:
    for container in all_containers(pod):
        home = folder.home(container["name"])
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        own(home, context.user)
        for mount in container.get("volumeMounts") or ():
            place = Path(places[mount["name"]]) / (mount.get("subPath") or "")
            if not place.exists():
                place.mkdir(mode=0o750, parents=True)
                own(place, context.user)


async def _read_sources(pod: Manifest, context: Context) -> Sources:
    references = sorted(source_references(pod))
    namespace = pod["metadata"]["namespace"]
    found = await asyncio.gather(
        *(context.api.get_source(namespace, r.kind, r.name) for r in references)
    )
    sources: dict[SourceRef, Mapping[str, bytes] | None] = {}
    for reference, manifest in zip(references, found, strict=True):
        sources[reference] = None if manifest is None else source_data(manifest)
    return sources


async def _read_tokens(
    pod: Manifest, context: Context, before: Mapping[TokenRequest, Token]
) -> dict[TokenRequest, Token]:
    now = datetime.now(UTC)
    tokens: dict[TokenRequest, Token] = {}
    for request in token_requests(pod):
        old = before.get(request)
        if old is not None and now < old.replace_at:
            tokens[request] = old
            continue
        text, expires = await context.api.request_token(
            pod_key(pod),
            pod["spec"].get("serviceAccountName", "default"),
            audience=request.audience,
            seconds=max(SHORTEST_TOKEN, request.seconds or DEFAULT_TOKEN_SECONDS),
        )
        life = max((parse_time(expires) - now).total_seconds(), 0)
        tokens[request] = Token(text, now + timedelta(seconds=life * TOKEN_USED))
    return tokens
