"""The document that tells the namespace's router about an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from puna.api.access import Access
from puna.api.lineage import ModelLineage
from puna.api.preset import Precedence, PresetSpec, Prompt, Sampling
from puna.api.rollout import Shadow
from puna.api.routing import ExternalEndpoint, Routing
from puna.core.naming import COMPONENT_ROUTER, endpoint_labels, endpoint_port
from puna.core.plan import Manifest
from puna.endpoint.effective import Effective
from puna.endpoint.revision import StoredRevision
from puna_router.config import (
    CONFIG_KEY,
    LABEL_ROUTER_CONFIG,
    AccessConfig,
    EndpointConfig,
    ExternalConfig,
    LineageConfig,
    PresetConfig,
    RevisionConfig,
    ShadowConfig,
    Stickiness,
)

SERVER_NAMES: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "max_tokens": "max_tokens",
    "stop": "stop",
    "seed": "seed",
}
"""Our attribute -> llama-server's member of a request body."""


@dataclass(frozen=True, slots=True)
class Share:
    """A revision and its share of the requests."""

    revision: StoredRevision
    weight: int
    """Percent; 0: it is only kept warm."""
    expected: int = 0
    """Servers that are wanted of it."""


def preset_config(sampling: Sampling, precedence: Precedence, prompt: Prompt) -> PresetConfig:
    """Return request defaults in llama-server's words."""
    values: dict[str, Any] = {}
    for attribute, name in SERVER_NAMES.items():
        value = getattr(sampling, attribute)
        if value is not None and value != ():
            values[name] = list(value) if isinstance(value, tuple) else value
    forced = precedence is Precedence.FORCED
    return PresetConfig(
        defaults={} if forced else values,
        forced=values if forced else {},
        system_prompt=prompt.system,
    )


def _from_spec(preset: PresetSpec) -> PresetConfig:
    return preset_config(preset.sampling, preset.precedence, preset.prompt)


def endpoint_config(
    *,
    namespace: str,
    effective: Effective,
    created: datetime | None,
    shares: Iterable[Share],
    routing: Routing,
    allowed_networks: tuple[str, ...],
    copied: str | None = None,
) -> EndpointConfig:
    """Return the document; `routing`, in which every member is set, has its members' names.

    `copied` is the revision that copies of requests are for, where any are made.
    """
    canary = effective.canary
    return EndpointConfig(
        name=effective.name,
        port=endpoint_port(namespace, effective.name),
        created=int(created.timestamp()) if created else 0,
        revisions=tuple(map(_revision, shares)),
        presets={name: _from_spec(preset) for name, preset in effective.presets.items()},
        stickiness=canary.stickiness if canary else Stickiness.NONE,
        external=tuple(_external(item, allowed_networks) for item in effective.external),
        access=_access_config(effective.access) if effective.access else None,
        shadow=_shadow_config(effective.shadow, copied),
        **routing.model_dump(),
    )


def _shadow_config(shadow: Shadow | None, revision: str | None) -> ShadowConfig | None:
    if shadow is None or revision is None:
        return None
    return ShadowConfig(revision=revision, percent=shadow.percent)


def _access_config(access: Access) -> AccessConfig:
    return AccessConfig(
        secret=access.api_key_secret_ref.name,
        requests_per_minute=access.rate_limit.requests_per_minute,
        burst=access.rate_limit.burst,
    )


def closer(document: str, access: Access | None) -> str | None:
    """Return a router's document with the keys that a spec asks for; None if it has them.

    A document that cannot be read is left to the router, which keeps the last good one. Nothing
    is opened here.
    """
    if access is None:
        return None
    try:
        config = EndpointConfig.model_validate_json(document)
    except ValidationError:
        return None
    wanted = _access_config(access)
    if config.access == wanted:
        return None
    return config.model_copy(update={"access": wanted}).to_json()


def withdrawn(document: str, revision: str, stable: str) -> str | None:
    """Return a router's document in which a revision gets nothing and the stable one its share.

    None if it is so already, or the document cannot be read.
    """
    try:
        config = EndpointConfig.model_validate_json(document)
    except ValidationError:
        return None
    weights = {item.name: item.weight for item in config.revisions}
    if not weights.get(revision) or stable not in weights:
        return None
    weights |= {revision: 0, stable: weights[stable] + weights[revision]}
    revisions = tuple(
        item.model_copy(update={"weight": weights[item.name]}) for item in config.revisions
    )
    return config.model_copy(update={"revisions": revisions, "shadow": None}).to_json()


def router_config_name(endpoint: str) -> str:
    """Return the name of the ConfigMap that carries an endpoint's document."""
    return f"{endpoint}-router-config"


def build_router_config(document: str, *, namespace: str, endpoint: str) -> Manifest:
    """Return the ConfigMap that carries a document."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": router_config_name(endpoint),
            "namespace": namespace,
            "labels": endpoint_labels(endpoint, COMPONENT_ROUTER) | {LABEL_ROUTER_CONFIG: "true"},
        },
        "data": {CONFIG_KEY: document},
    }


def _revision(share: Share) -> RevisionConfig:
    data = share.revision.data
    return RevisionConfig(
        name=share.revision.name,
        process=share.revision.process,
        weight=share.weight,
        preset=preset_config(data.sampling, data.precedence, data.prompt),
        slots=data.server.slots,
        expected=share.expected,
        lineage=_lineage(data.lineage) if data.lineage else None,
    )


def _lineage(lineage: ModelLineage) -> LineageConfig:
    return LineageConfig(
        job=lineage.job,
        seed=lineage.seed,
        data_hash=lineage.data_hash,
        scores=lineage.scores,
        sha256=lineage.sha256,
    )


def _external(external: ExternalEndpoint, allowed_networks: tuple[str, ...]) -> ExternalConfig:
    key, authority = external.api_key_secret_ref, external.ca_secret_ref
    secret = {"api_key_secret": key.name, "api_key_member": key.key} if key else {}
    return ExternalConfig(
        name=external.name,
        url=external.url,
        slots=external.slots,
        priority=external.priority,
        ca_secret=authority.name if authority else None,
        allowed_networks=allowed_networks,
        **secret,
    )
