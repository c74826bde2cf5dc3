"""The Preset resource: a named way to sample, to run the server and to prompt."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from puna.api.resource import Column, Model, Quantity, Resource, Rule

Fraction = Annotated[float, Field(ge=0, le=1)]


class Precedence(StrEnum):
    """Who wins where a request and the preset set the same value."""

    DEFAULT = "Default"
    """The request."""
    FORCED = "Forced"
    """The preset."""


class CacheType(StrEnum):
    """Number format of the key-value cache."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q5_1 = "q5_1"
    Q5_0 = "q5_0"
    Q4_1 = "q4_1"
    Q4_0 = "q4_0"
    IQ4_NL = "iq4_nl"


class FlashAttention(StrEnum):
    """Whether llama-server uses flash attention."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class RopeScalingType(StrEnum):
    """How positions beyond the training context are scaled."""

    NONE = "none"
    LINEAR = "linear"
    YARN = "yarn"


class ServerMode(StrEnum):
    """What a server answers."""

    CHAT = "Chat"
    """Chats and completions."""
    EMBEDDING = "Embedding"
    """Embeddings of texts; all else as llama-server answers it then."""
    RERANK = "Rerank"
    """Scores of documents for a query, by a model that is made for it."""


class Pooling(StrEnum):
    """How the vectors of a text's tokens become one."""

    MEAN = "mean"
    CLS = "cls"
    LAST = "last"


class Sampling(Model):
    """Values that a request is given unless it brings its own; llama-server's names and ranges."""

    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    """Spread of the distribution; 0 always takes the likeliest token."""
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """Sample from the k likeliest tokens; 0 turns it off."""
    top_p: Fraction | None = None
    """Sample from the likeliest tokens that together reach this probability."""
    min_p: Fraction | None = None
    """Leave out tokens below this share of the likeliest one's probability."""
    repeat_penalty: Annotated[float, Field(ge=0, le=10)] | None = None
    """Penalty of repeated tokens; 1 is none."""
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Longest answer in tokens."""
    stop: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=16)] = ()
    """Texts that end an answer."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    """Seed of the sampler."""


class RopeScaling(Model):
    """Stretch of the context beyond what the model was trained on."""

    type: RopeScalingType
    """Method."""
    factor: Annotated[float, Field(ge=1, le=64)]
    """How many times longer."""


class Server(Model):
    """Settings of the llama-server process; a change starts new Pods."""

    mode: ServerMode = ServerMode.CHAT
    """What the server answers."""
    pooling: Pooling | None = None
    """How an embedding is made of its tokens' vectors; by default as the model says."""
    threads: Annotated[int, Field(ge=1, le=512)] | None = None
    """Threads of generation; by default the CPU limit of the pool, else llama-server's choice."""
    context_length: Annotated[int, Field(ge=64, le=16_777_216)] = 4096
    """Tokens that one request may use, prompt and answer together."""
    slots: Annotated[int, Field(ge=1, le=256)] = 1
    """Requests that one server answers at once; memory grows with each."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Prompt tokens handled in one step.

    In modes Embedding and Rerank at least contextLength, since a text has to fit in one.
    """
    cache_type_k: CacheType = CacheType.F16
    """Format of the cached keys."""
    cache_type_v: CacheType = CacheType.F16
    """Format of the cached values; a quantized one needs flash attention."""
    flash_attention: FlashAttention = FlashAttention.AUTO
    """Flash attention."""
    cache_reuse: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Shortest piece of a cached prompt, in tokens, that is reused by shifting; 0 turns it off."""
    prompt_cache_memory: Quantity = "0"
    """Host memory for prompts of finished requests."""
    rope_scaling: RopeScaling | None = None
    """Context extension."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(self.flashAttention == 'off' && self.cacheTypeV != 'f16' && "
            "self.cacheTypeV != 'f32' && self.cacheTypeV != 'bf16')",
            "a quantized value cache needs flashAttention auto or on",
            ".cacheTypeV",
        ),
        Rule(
            "!has(self.pooling) || self.mode == 'Embedding'",
            "is for mode Embedding alone",
            ".pooling",
            "FieldValueForbidden",
        ),
    )


class Prompt(Model):
    """What a model is told before the user speaks."""

    system: Annotated[str, Field(max_length=16_384)] | None = None
    """System message for chats that bring none."""
    chat_template: Annotated[str, Field(max_length=32_768)] | None = None
    """Jinja template instead of the model's own; a change starts new Pods."""


class PresetSpec(Model):
    """A named bundle of settings."""

    sampling: Sampling = Sampling()
    """How to sample."""
    precedence: Precedence = Precedence.DEFAULT
    """Who wins where a request sets a sampling value too."""
    server: Server | None = None
    """How to run the server; absent where a preset only samples."""
    prompt: Prompt = Prompt()
    """How to prompt."""


class Preset(Resource):
    """A named way to sample, to run the server and to prompt, used by LLMEndpoints by name."""

    kind: ClassVar[str] = "Preset"
    plural: ClassVar[str] = "presets"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Temperature", ".spec.sampling.temperature", "number"),
        Column("Max Tokens", ".spec.sampling.maxTokens", "integer"),
        Column("Precedence", ".spec.precedence"),
        Column("Context", ".spec.server.contextLength", "integer"),
        Column("Slots", ".spec.server.slots", "integer"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') "
            "&& size(self.metadata.name) <= 40",
            "a Preset is asked for as <endpoint>:<preset>; use at most 40 lower "
            "case letters, digits and '-', beginning with a letter",
            ".metadata.name",
        ),
    )

    spec: PresetSpec = PresetSpec()
