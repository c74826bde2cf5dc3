"""The document that tells the namespace's router about an endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from puna.api.access import Access
from puna.api.preset import Precedence, PresetSpec, Prompt, Sampling
from puna.core.naming import COMPONENT_ROUTER, endpoint_labels, endpoint_port
from puna.core.plan import Manifest
from puna.endpoint.effective import Effective
from puna.endpoint.revision import StoredRevision
from puna.settings import RouterSettings
from puna_router.config import (
    CONFIG_KEY,
    LABEL_ROUTER_CONFIG,
    AccessConfig,
    EndpointConfig,
    HealthCheckConfig,
    PresetConfig,
    RevisionConfig,
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
    stable: StoredRevision,
    idle: Iterable[StoredRevision],
    settings: RouterSettings,
) -> EndpointConfig:
    """Return the document: all requests go to `stable`, those in `idle` are only kept warm."""
    return EndpointConfig(
        name=effective.name,
        port=endpoint_port(namespace, effective.name),
        created=int(created.timestamp()) if created else 0,
        revisions=(
            _revision(stable, weight=100),
            *(_revision(revision, weight=0) for revision in idle),
        ),
        presets={name: _from_spec(preset) for name, preset in effective.presets.items()},
        health_check=HealthCheckConfig(
            interval_seconds=settings.health_interval_seconds,
            failure_threshold=settings.health_failure_threshold,
        ),
        retries=settings.retries,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        keep_alive_seconds=settings.keep_alive_seconds,
        access=_access_config(effective.access) if effective.access else None,
    )


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


def _revision(revision: StoredRevision, *, weight: int) -> RevisionConfig:
    data = revision.data
    return RevisionConfig(
        name=revision.name,
        process=revision.process,
        weight=weight,
        preset=preset_config(data.sampling, data.precedence, data.prompt),
    )
