"""Effective spec: shorthand, presets and defaults resolved, and the hashes that name the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from puna.api.access import Access
from puna.api.lineage import ModelLineage
from puna.api.llmendpoint import LLMEndpointSpec
from puna.api.model_source import ModelSource
from puna.api.pool import Accelerator, Pool, Resources
from puna.api.preset import Precedence, Preset, PresetSpec, Prompt, Sampling, Server
from puna.api.rollout import Canary, RolloutStrategy, Shadow
from puna.api.routing import ExternalEndpoint
from puna.core.naming import digest8
from puna.core.quantities import mebibytes

SHORTHAND_POOL: Final = "default"


@dataclass(frozen=True)
class Effective:
    """What an endpoint's spec means once everything it names is looked up."""

    name: str
    model: ModelSource
    pools: tuple[Pool, ...]
    preset: str | None
    sampling: Sampling
    precedence: Precedence
    prompt: Prompt
    server: Server
    presets: Mapping[str, PresetSpec]
    """Selectable per request, the endpoint's own among them."""
    strategy: RolloutStrategy
    canary: Canary | None = None
    """Steps of strategy Canary."""
    shadow: Shadow | None = None
    """Copies of requests that a canary gets."""
    external: tuple[ExternalEndpoint, ...] = ()
    """Servers outside the cluster."""
    access: Access | None = None
    """Who may use it: no part of a hash, since it changes no answer."""
    lineage: ModelLineage | None = None
    """Where the model comes from: no part of a hash either."""

    @cached_property
    def process(self) -> str:
        """Hash of all that a llama-server process is started from."""
        return digest8(
            {
                "endpoint": self.name,
                "model": _meant(self.model),
                "server": meant_server(self.server),
                "chatTemplate": self.prompt.chat_template,
            }
        )

    @cached_property
    def revision(self) -> str:
        """Hash of all that changes answers: the process, sampling and the system prompt."""
        return digest8(
            {
                "process": self.process,
                "sampling": _meant(self.sampling),
                "precedence": self.precedence,
                "system": self.prompt.system,
            }
        )


def pools_of(spec: LLMEndpointSpec) -> tuple[Pool, ...]:
    """Return the pools of a spec, the shorthand's as one named `default`."""
    if spec.pools:
        return spec.pools
    return (
        Pool(
            name=SHORTHAND_POOL,
            accelerator=spec.accelerator or Accelerator.CPU,
            replicas=1 if spec.replicas is None else spec.replicas,
            accelerator_count=spec.accelerator_count or 1,
            resources=spec.resources or Resources(),
            node_selector=spec.node_selector or {},
        ),
    )


def preset_names(spec: LLMEndpointSpec) -> tuple[str, ...]:
    """Return the Presets that a spec names, its own first."""
    own = (spec.preset_ref.name,) if spec.preset_ref else ()
    return own + tuple(name for name in spec.presets if name not in own)


def resolve(
    name: str,
    spec: LLMEndpointSpec,
    presets: Mapping[str, Preset],
    *,
    lineage: ModelLineage | None = None,
) -> Effective:
    """Return the effective spec; every Preset that the spec names has to be in `presets`."""
    own = presets[spec.preset_ref.name].spec if spec.preset_ref else PresetSpec()
    return Effective(
        name=name,
        model=spec.model,
        pools=pools_of(spec),
        preset=spec.preset_ref.name if spec.preset_ref else None,
        sampling=own.sampling,
        precedence=own.precedence,
        prompt=own.prompt,
        server=own.server or Server(),
        presets={preset: presets[preset].spec for preset in preset_names(spec)},
        strategy=spec.rollout.strategy,
        canary=spec.rollout.canary,
        shadow=spec.rollout.shadow,
        external=spec.external_endpoints,
        access=spec.access,
        lineage=lineage,
    )


def meant_server(server: Server) -> Mapping[str, Any]:
    """Return what a user can mean of a server's settings; amounts that run alike are alike."""
    memory = mebibytes(server.prompt_cache_memory)
    canonical = server.model_copy(update={"prompt_cache_memory": f"{memory}Mi" if memory else "0"})
    return _meant(canonical)


def _meant(model: ModelSource | Server | Sampling) -> Mapping[str, Any]:
    """Return what a user can mean: values that differ from the defaults.

    A field that a later version adds is absent here until somebody sets it, so that an upgrade of
    the operator changes no hash.
    """
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
