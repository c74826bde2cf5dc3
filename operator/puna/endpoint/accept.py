"""Acceptance: why an endpoint cannot be carried out, as a chain of named checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from puna.api.llmendpoint import LLMEndpoint, LLMEndpointSpec
from puna.api.model_source import ModelSource
from puna.api.pool import Pool
from puna.api.preset import Server, ServerMode
from puna.api.reasons import Reason
from puna.api.resource import LocalObjectReference, SecretKeyReference
from puna.api.rollout import RolloutStrategy
from puna.core.addresses import folder_of, refused_host
from puna.core.findings import Check, Finding
from puna.endpoint.effective import meant_server, pools_of, preset_names
from puna.endpoint.golden import analysis_of
from puna.endpoint.observed import ObservedEndpoint
from puna.endpoint.routing import effective_routing
from puna.placement import contradiction
from puna.settings import Settings
from puna_fetch.config import model_path

_ANALYSIS: Final = "spec.rollout.canary.analysis"


@dataclass(frozen=True, slots=True)
class AcceptInput:
    """What the checks look at."""

    endpoint: LLMEndpoint
    observed: ObservedEndpoint
    settings: Settings


def claim_names(model: ModelSource) -> tuple[str, ...]:
    """Return the PersistentVolumeClaims that a model needs."""
    if model.uri.startswith("pvc://"):
        return (model.uri.removeprefix("pvc://").partition("/")[0],)
    if model.cache is not None:
        return (model.cache.persistent_volume_claim.claim_name,)
    return ()


def secret_names(spec: LLMEndpointSpec) -> tuple[str, ...]:
    """Return the Secrets that a spec names."""
    keys = spec.access.api_key_secret_ref if spec.access else None
    names = _secrets(spec).values()
    return tuple(names) if keys is None else (*names, keys.name)


def _secrets(spec: LLMEndpointSpec) -> dict[str, str]:
    """Return the Secrets that have to be there, by the field that names them."""
    refs: dict[str, LocalObjectReference | SecretKeyReference | None] = {
        "spec.model.credentialsSecretRef.name": spec.model.credentials_secret_ref,
        "spec.model.caSecretRef.name": spec.model.ca_secret_ref,
    }
    for external in spec.external_endpoints:
        field = f"spec.externalEndpoints[{external.name}]"
        refs[f"{field}.apiKeySecretRef.name"] = external.api_key_secret_ref
        refs[f"{field}.caSecretRef.name"] = external.ca_secret_ref
    return {field: ref.name for field, ref in refs.items() if ref is not None}


def model_uri_names_a_file(value: AcceptInput) -> Finding | None:
    """Refuse what the schema's pattern lets through and no path can be made of."""
    model, namespace = value.endpoint.spec.model, value.endpoint.metadata.namespace
    try:
        path = model_path(
            uri=model.uri, namespace=namespace, sha256=model.sha256 or "-", source_root="/"
        )
    except ValueError as error:
        return Finding(Reason.INVALID_SPEC, f"spec.model.uri: {error}")
    if not path.isprintable():
        message = f"spec.model.uri: {model.uri}: the path must not contain control characters"
        return Finding(Reason.INVALID_SPEC, message)
    return None


def file_lies_in_an_allowed_folder(value: AcceptInput) -> Finding | None:
    """Refuse a file:// uri outside the operator's model folders."""
    uri = value.endpoint.spec.model.uri
    folders = value.settings.model_folders
    if urlsplit(uri).scheme != "file" or folder_of(uri, folders) is not None:
        return None
    allowed = ", ".join(folders) if folders else "none"
    return Finding(
        Reason.ADDRESS_REFUSED,
        f"spec.model.uri: {uri} is in no folder that the operator's setting PUNA_MODEL_FOLDERS "
        f"allows ({allowed})",
    )


def node_selectors_agree(value: AcceptInput) -> Finding | None:
    """Refuse a label that the accelerator's nodes cannot have."""
    spec = value.endpoint.spec
    for pool in pools_of(spec):
        profile = value.settings.accelerators[pool.accelerator]
        needed = contradiction(profile, pool.node_selector)
        if needed is not None:
            return Finding(
                Reason.INVALID_SPEC,
                f"{_field(spec, pool)}.nodeSelector: accelerator {pool.accelerator} runs on "
                f"nodes with {needed}; remove {needed.partition('=')[0]}",
            )
    return None


def accelerators_are_counted_once(value: AcceptInput) -> Finding | None:
    """Refuse the accelerator's own resource among a pool's resources."""
    spec = value.endpoint.spec
    for pool in pools_of(spec):
        name = value.settings.accelerators[pool.accelerator].resource_name
        if name in pool.resources.requests or name in pool.resources.limits:
            field = _field(spec, pool)
            return Finding(
                Reason.INVALID_SPEC,
                f"{field}.resources: {name} is what {field}.acceleratorCount sets; remove it here",
            )
    return None


def _field(spec: LLMEndpointSpec, pool: Pool) -> str:
    return f"spec.pools[{pool.name}]" if spec.pools else "spec"


def external_addresses_are_allowed(value: AcceptInput) -> Finding | None:
    """Refuse external servers by address; what a name resolves to is the router's to judge."""
    for external in value.endpoint.spec.external_endpoints:
        field = f"spec.externalEndpoints[{external.name}].url"
        try:
            parts = urlsplit(external.url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as error:
            return Finding(Reason.INVALID_SPEC, f"{field}: {external.url}: {error}")
        problem = refused_host(
            host, value.settings.allowed_networks, api_server=value.settings.api_server_host
        )
        if problem is not None:
            return Finding(
                Reason.ADDRESS_REFUSED,
                f"{field}: {problem}, which the operator's setting PUNA_ALLOWED_NETWORKS does not "
                "name",
            )
    return None


def streams_are_kept_alive(value: AcceptInput) -> Finding | None:
    """Refuse comments in a stream that come later than its end."""
    routing = effective_routing(value.endpoint.spec.routing, value.settings.router)
    idle, interval = routing.idle_timeout_seconds, routing.keep_alive_seconds
    if idle is None or interval is None or interval < idle:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"spec.routing.keepAliveSeconds: {interval} s of silence end a stream whose "
        f"idleTimeoutSeconds are {idle}; set a smaller one",
    )


def no_foreign_object_has_a_childs_name(value: AcceptInput) -> Finding | None:
    """Refuse to build where somebody else's object holds a child's name."""
    if not value.observed.foreign:
        return None
    key = min(value.observed.foreign)
    return Finding(
        Reason.NAME_CONFLICT,
        f"{key.kind} {key.name} exists and does not belong to this LLMEndpoint; delete it or give "
        "the LLMEndpoint another name",
    )


def presets_exist(value: AcceptInput) -> Finding | None:
    """Name the first Preset that is missing."""
    spec = value.endpoint.spec
    for name in preset_names(spec):
        if name not in value.observed.presets:
            own = spec.preset_ref is not None and spec.preset_ref.name == name
            field = "spec.presetRef.name" if own else "spec.presets"
            return Finding(
                Reason.PRESET_NOT_FOUND,
                f"{field}: there is no Preset {name} in namespace "
                f"{value.endpoint.metadata.namespace}; create it or name another",
            )
    return None


def listed_presets_fit_the_server(value: AcceptInput) -> Finding | None:
    """Refuse a per-request Preset that another llama-server would be needed for."""
    spec, presets = value.endpoint.spec, value.observed.presets
    own = presets[spec.preset_ref.name].spec if spec.preset_ref else None
    server = meant_server((own.server if own else None) or Server())
    template = own.prompt.chat_template if own else None
    for name in spec.presets:
        listed = presets[name].spec
        field = None
        if listed.server is not None and meant_server(listed.server) != server:
            field = "server"
        elif listed.prompt.chat_template not in {None, template}:
            field = "prompt.chatTemplate"
        if field is not None:
            return Finding(
                Reason.PRESET_NEEDS_OWN_SERVER,
                f"spec.presets: Preset {name} sets spec.{field} to other values than this endpoint "
                f"runs with; remove spec.{field} from it, or serve it by an LLMEndpoint of its own",
            )
    return None


def golden_prompts_can_be_answered(value: AcceptInput) -> Finding | None:
    """Refuse prompts for a server that answers none."""
    mode = _mode(value)
    if analysis_of(value.endpoint) is None or mode is ServerMode.CHAT:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"{_ANALYSIS}.goldenPrompts: a server in mode {mode} answers no prompts; remove them",
    )


def generated_tokens_can_be_compared(value: AcceptInput) -> Finding | None:
    """Refuse a limit of tokens per second for a server that generates none."""
    rollout, mode = value.endpoint.spec.rollout, _mode(value)
    if rollout.strategy is not RolloutStrategy.CANARY or rollout.canary is None:
        return None
    analysis = rollout.canary.analysis
    asked = analysis is not None and analysis.min_tokens_per_second_percent is not None
    if not asked or mode is ServerMode.CHAT:
        return None
    return Finding(
        Reason.INVALID_SPEC,
        f"{_ANALYSIS}.minTokensPerSecondPercent: a server in mode {mode} generates no tokens; "
        "remove it: maxLatencyPercent compares whole answers",
    )


def _mode(value: AcceptInput) -> ServerMode:
    """Return what the server of an endpoint is for."""
    ref = value.endpoint.spec.preset_ref
    server = value.observed.presets[ref.name].spec.server if ref else None
    return (server or Server()).mode


def secrets_exist(value: AcceptInput) -> Finding | None:
    """Name the first Secret that is missing."""
    for field, name in _secrets(value.endpoint.spec).items():
        if name in value.observed.missing_secrets:
            return Finding(
                Reason.SECRET_NOT_FOUND,
                f"{field}: there is no Secret {name} in namespace "
                f"{value.endpoint.metadata.namespace}; create it or name another",
            )
    return None


def keys_exist(endpoint: LLMEndpoint, observed: ObservedEndpoint) -> Finding | None:
    """Say that the Secret with the API keys is missing.

    That holds nothing up: the router closes the endpoint, and would leave it open if the plan that
    requires keys were not carried out.
    """
    access = endpoint.spec.access
    if access is None or access.api_key_secret_ref.name not in observed.missing_secrets:
        return None
    name, namespace = access.api_key_secret_ref.name, endpoint.metadata.namespace
    return Finding(
        Reason.SECRET_NOT_FOUND,
        f"spec.access.apiKeySecretRef.name: there is no Secret {name} in namespace {namespace}, so "
        "the router answers no request; `puna key create` makes it, or name another",
    )


def claims_exist(value: AcceptInput) -> Finding | None:
    """Name the first PersistentVolumeClaim that is missing."""
    model = value.endpoint.spec.model
    for name in claim_names(model):
        if name not in value.observed.claims:
            return Finding(
                Reason.VOLUME_CLAIM_NOT_FOUND,
                f"{_claim_field(model)}: there is no PersistentVolumeClaim {name} in namespace "
                f"{value.endpoint.metadata.namespace}; create it or name another",
            )
    return None


def _claim_field(model: ModelSource) -> str:
    if model.cache is None:
        return "spec.model.uri"
    return "spec.model.cache.persistentVolumeClaim.claimName"


SPEC_CHECKS: Final[tuple[Check[AcceptInput], ...]] = (
    model_uri_names_a_file,
    file_lies_in_an_allowed_folder,
    node_selectors_agree,
    accelerators_are_counted_once,
    external_addresses_are_allowed,
    streams_are_kept_alive,
    no_foreign_object_has_a_childs_name,
)
"""Decide condition Accepted."""

REFERENCE_CHECKS: Final[tuple[Check[AcceptInput], ...]] = (
    presets_exist,
    listed_presets_fit_the_server,
    golden_prompts_can_be_answered,
    generated_tokens_can_be_compared,
    secrets_exist,
    claims_exist,
)
"""Decide condition ResolvedRefs."""
