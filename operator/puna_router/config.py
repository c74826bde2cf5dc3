"""The documents that a router is given, and the one it answers with.

The operator renders `EndpointConfig` into a ConfigMap per endpoint; a single host writes a
`RouterFile` by hand. Pure: pydantic only. Importable by every other package.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

LABEL_ENDPOINT: Final = "puna.dev/endpoint"
"""On every object of an endpoint; a router's Pod watch selects by its presence."""
LABEL_PROCESS: Final = "puna.dev/process"
"""Process hash (8 hex digits) of a llama-server Pod: which revisions it can serve."""
LABEL_POOL: Final = "puna.dev/pool"
"""Pool of a llama-server Pod."""
LABEL_ROUTER_CONFIG: Final = "puna.dev/router-config"
"""Value "true" on the ConfigMaps that a router merges."""
CONFIG_KEY: Final = "endpoint.json"
"""Key of the `EndpointConfig` document in its ConfigMap."""

CLIENT_PORT: Final = 8080
"""Envoy's listener for clients."""
CONTROL_PORT: Final = 9090
"""Listener of the control process: /ready, /metrics, /state."""

PICKER_PORT: Final = 9091
"""Listener of the picker: /live, /state."""

Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
PresetName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Hash8 = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]


class Document(BaseModel):
    """A frozen document in camelCase that ignores what a newer writer added."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
    )

    def to_json(self) -> str:
        """The document as stable JSON: equal documents give equal bytes."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class PresetConfig(Document):
    """Request defaults that are spliced into a body; keys are llama-server's own names."""

    defaults: dict[str, Any] = {}
    """Members put in front of the client's: the client's value wins."""
    forced: dict[str, Any] = {}
    """Members put behind the client's: the preset's value wins."""
    system_prompt: str | None = None
    """System message for chats whose messages hold none."""


class HealthCheckConfig(Document):
    """Active `/health` checks of every backend."""

    interval_seconds: float = Field(default=2.0, gt=0, le=300)
    """Time between two checks, in seconds; jittered by at most 10 %."""
    failure_threshold: int = Field(default=2, ge=1, le=100)
    """Failed checks in a row that exclude a backend."""


class Strategy(StrEnum):
    """How a backend is chosen among those with a free slot."""

    PREFIX_AFFINITY = "PrefixAffinity"
    """The one that holds the longest part of the prompt in its cache, unless it is much busier."""
    LEAST_BUSY = "LeastBusy"
    """The one with the largest share of free slots."""
    ROUND_ROBIN = "RoundRobin"
    """One after the other."""


class QueueConfig(Document):
    """Where requests wait while every slot is taken."""

    max_depth: int = Field(default=32, ge=0, le=10_000)
    """Requests that may wait, in all routers together; 0: none waits."""
    timeout_seconds: int = Field(default=60, ge=1, le=600)
    """Longest wait, in seconds; then 429 `queue_timeout`."""


class Stickiness(StrEnum):
    """What keeps a client on one revision while weights change."""

    NONE = "None"
    """Nothing: every request is drawn anew."""
    KEY = "Key"
    """Its API key: a client that has moved to the growing revision does not move back."""


class ApiKey(Document):
    """One API key, as a data member of a Secret: `<name of the key>: <this document>`.

    The key itself is stored nowhere. A member that is not known here makes the document no key:
    a misspelt limit would be none.
    """

    model_config = ConfigDict(extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 (hex) of the key: 256 random bits need no slow hash."""
    endpoints: tuple[Name, ...] = Field(default=(), max_length=64)
    """Endpoints that the key opens; empty: all that name its Secret."""
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    """Sustained rate; absent: the endpoint's."""
    burst: int | None = Field(default=None, ge=1, le=1_000_000)
    """Requests at once beyond the sustained rate; absent: the endpoint's."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Prompt and generated tokens; absent: no limit."""
    max_concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """Requests under way at once, waiting ones too; absent: no limit."""
    expires_at: AwareDatetime | None = None
    """When the key ends; absent: never."""


class AccessConfig(Document):
    """Who may use an endpoint."""

    secret: str
    """Secret of the namespace (in a router file: member of `keys`) that holds the keys."""
    requests_per_minute: int = Field(default=120, ge=1, le=1_000_000)
    """Sustained rate of each key that names none itself."""
    burst: int = Field(default=30, ge=1, le=1_000_000)
    """Requests at once beyond the sustained rate, of each key that names none itself."""


class ExternalConfig(Document):
    """A server outside the cluster that answers for an endpoint, whatever its revision."""

    name: Name
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+/?$", max_length=512)]
    """Scheme, host and port."""
    slots: int = Field(default=1, ge=1, le=1024)
    """Requests that it works on at once."""
    priority: int = Field(default=0, ge=0, le=1)
    """0: an equal member; 1: gets requests only while no other backend is healthy."""
    api_key_secret: str | None = None
    """Secret of the namespace that holds the key which the server requires; absent: no key."""
    api_key_member: str = "token"
    """Member of that Secret."""
    ca_secret: str | None = None
    """Secret of the namespace whose member `ca.crt` signs the server's certificate."""
    allowed_networks: tuple[str, ...] | None = None
    """Networks (CIDR), beside public addresses, that the host may resolve to; absent: any."""


class LineageConfig(Document):
    """Where a revision's model comes from, as the list of models tells it."""

    job: str
    """TrainingJob that made the model."""
    seed: int
    """Seed of every random choice."""
    data_hash: str | None = None
    """Of the prepared data."""
    scores: dict[str, float] = {}
    """What the evaluation measured."""
    sha256: str
    """SHA-256 (hex) of the model file."""


class RevisionConfig(Document):
    """One revision of an endpoint and its share of the requests."""

    name: Hash8
    """The revision: process hash, sampling and system prompt together."""
    process: Hash8
    """Pods with this process hash serve it; two revisions may share them."""
    weight: int = Field(ge=0, le=100)
    """Percent of the endpoint's requests; 0 gets none.

    A revision without usable Pods counts as 0.
    """
    preset: PresetConfig = PresetConfig()
    """Request defaults of the revision itself."""
    slots: int = Field(default=1, ge=1, le=1024)
    """Slots of each of its servers (`--parallel`)."""
    expected: int = Field(default=0, ge=0)
    """Servers that are wanted: while some are, and none is there, requests wait in the queue."""
    lineage: LineageConfig | None = None
    """Where its model comes from, if a training run made it."""


class ShadowConfig(Document):
    """Copies of requests, for a revision that is to be looked at."""

    revision: Hash8
    """Whom the copies go to."""
    percent: int = Field(ge=1, le=100)
    """Percent of the other revisions' requests that are copied."""


class EndpointConfig(Document):
    """Everything a router needs to know of one LLMEndpoint."""

    name: Name
    """Name of the endpoint: the `model` that clients ask for."""
    port: int = Field(ge=1, le=65535)
    """Port of the endpoint's llama-server Pods."""
    created: int = Field(ge=0)
    """Creation of the endpoint, in seconds since the epoch, for `/v1/models`."""
    revisions: tuple[RevisionConfig, ...] = Field(max_length=8)
    """Revisions with their weights; empty while nothing can be served yet."""
    presets: dict[PresetName, PresetConfig] = {}
    """Presets selectable per request: `model: <endpoint>:<preset>` or header `x-puna-preset`.

    They replace the revision's own.
    """
    health_check: HealthCheckConfig = HealthCheckConfig()
    retries: int = Field(default=1, ge=0, le=5)
    """Further attempts on other backends, only before the first byte of an answer."""
    idle_timeout_seconds: int = Field(default=300, ge=1, le=3600)
    """Longest silence of a stream, in seconds."""
    keep_alive_seconds: int = Field(default=15, ge=1, le=300)
    """Interval of llama-server's SSE comments, spliced into streamed requests, in seconds."""
    strategy: Strategy = Strategy.PREFIX_AFFINITY
    """How a backend is chosen."""
    queue: QueueConfig = QueueConfig()
    """Where requests wait."""
    stickiness: Stickiness = Stickiness.NONE
    """What keeps a client on one revision."""
    access: AccessConfig | None = None
    """Who may use the endpoint; absent: everybody who reaches the router."""
    external: tuple[ExternalConfig, ...] = Field(default=(), max_length=16)
    """Servers outside the cluster."""
    shadow: ShadowConfig | None = None
    """Copies of requests; absent: none."""


class Backend(Document):
    """One llama-server."""

    address: str
    """IP address."""
    port: int = Field(ge=1, le=65535)
    process: Hash8
    pod: str | None = None
    """Name of its Pod, where there is one."""
    pool: str | None = None


class CertificateFiles(Document):
    """A certificate and its key, as PEM."""

    certificate: str
    """File of the certificate, followed by those between it and its authority."""
    key: str
    """File of its key."""


class RouterFile(Document):
    """A whole router on one host without Kubernetes: `python -m puna_router --config FILE`."""

    listen: str = "127.0.0.1"
    """Address of all listeners."""
    port: int = Field(default=CLIENT_PORT, ge=1, le=65535)
    control_port: int = Field(default=CONTROL_PORT, ge=1, le=65535)
    picker_port: int = Field(default=PICKER_PORT, ge=1, le=65535)
    tls: CertificateFiles | None = None
    """What clients have to speak TLS with; absent: they speak plain HTTP."""
    endpoints: tuple[EndpointConfig, ...]
    backends: dict[str, tuple[Backend, ...]]
    """Backends by endpoint name."""
    api_key_file: str | None = None
    """File with the key that the backends require."""
    keys: dict[str, dict[Name, ApiKey]] = {}
    """API keys by the name that an endpoint's `access.secret` gives."""
    secrets: dict[str, dict[str, str]] = {}
    """What external servers name as Secrets: members by the Secret's name."""


class EndpointPhase(StrEnum):
    """What became of an endpoint's document."""

    APPLIED = "Applied"
    """Envoy runs it."""
    REJECTED = "Rejected"
    """It was refused; the last good one still runs."""


class BackendState(Document):
    """A backend as Envoy sees it."""

    address: str
    port: int
    process: str
    pod: str | None = None
    healthy: bool
    in_flight: int | None = None
    """Requests of this router that run there; absent while its picker does not say."""


class EndpointState(Document):
    """One endpoint as this router serves it."""

    digest: str | None = None
    """`config_digest` of the document that Envoy runs; absent before the first."""
    phase: EndpointPhase
    message: str | None = None
    """Why the newest document was refused, in Envoy's words."""
    access: str | None = None
    """Which members of the Secret with the endpoint's keys are no keys, or why none can be read."""
    backends: tuple[BackendState, ...] = ()


class RouterState(Document):
    """Answer of `GET /state`."""

    endpoints: dict[str, EndpointState] = {}


def config_digest(document: str) -> str:
    """SHA-256 (hex) of a document's bytes as stored: how both sides name one version of it."""
    return sha256(document.encode()).hexdigest()
