"""Settings of the operator: every knob, its unit and its default, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter

from puna.api.pool import Accelerator, Resources
from puna.api.resource import Model
from puna.variables import Variables
from puna_node.config import (
    LABEL_ACCELERATOR,
    PROVIDER,
    RESOURCE_METAL,
    TAINT_PROVIDER,
)
from puna_router.config import Strategy

VERSION_TAG: Final = "0.1.0"
IMAGE_PUNA: Final = "ghcr.io/puna-dev/puna"
IMAGE_ROUTER: Final = "ghcr.io/puna-dev/router"
IMAGE_LLAMA_SERVER: Final = "ghcr.io/puna-dev/llama-server"
IMAGE_TRAINER: Final = "ghcr.io/puna-dev/trainer"
ServiceType: TypeAlias = Literal["ClusterIP", "NodePort", "LoadBalancer"]
Rendezvous: TypeAlias = Literal["Service", "Volume"]
SERVICE_TYPES: Final[tuple[ServiceType, ...]] = ("ClusterIP", "NodePort", "LoadBalancer")
RENDEZVOUS: Final[tuple[Rendezvous, ...]] = ("Service", "Volume")


@dataclass(frozen=True, slots=True)
class AcceleratorProfile:
    """What one kind of hardware means for a Pod."""

    image: str
    """Image of llama-server."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: tuple[Mapping[str, str], ...] = ()
    """Taints that the Pod accepts."""
    resource_name: str | None = None
    """Extended resource that stands for one accelerator."""
    runtime_class: str | None = None
    """RuntimeClass of the Pod."""
    gpu_layers: int = 0
    """Layers that llama-server offloads (`--gpu-layers`)."""
    trainer_image: str = f"{IMAGE_TRAINER}:{VERSION_TAG}-cpu"
    """Image of the trainer."""


DEFAULT_ACCELERATORS: Final[Mapping[Accelerator, AcceleratorProfile]] = {
    Accelerator.CPU: AcceleratorProfile(image=f"{IMAGE_LLAMA_SERVER}:{VERSION_TAG}-cpu"),
    Accelerator.CUDA: AcceleratorProfile(
        image=f"{IMAGE_LLAMA_SERVER}:{VERSION_TAG}-cuda",
        tolerations=({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},),
        resource_name="nvidia.com/gpu",
        gpu_layers=999,
        trainer_image=f"{IMAGE_TRAINER}:{VERSION_TAG}-cuda",
    ),
    Accelerator.METAL: AcceleratorProfile(
        image=f"{IMAGE_LLAMA_SERVER}:{VERSION_TAG}-metal",
        node_selector={LABEL_ACCELERATOR: "metal"},
        tolerations=(
            {
                "key": TAINT_PROVIDER,
                "operator": "Equal",
                "value": PROVIDER,
                "effect": "NoSchedule",
            },
        ),
        resource_name=RESOURCE_METAL,
        gpu_layers=999,
        trainer_image=f"{IMAGE_TRAINER}:{VERSION_TAG}-metal",
    ),
}


DEFAULT_ROUTER_RESOURCES: Final[Mapping[str, Resources]] = {
    "control": Resources(requests={"cpu": "50m", "memory": "96Mi"}),
    "envoy": Resources(requests={"cpu": "100m", "memory": "96Mi"}),
    "picker": Resources(requests={"cpu": "50m", "memory": "64Mi"}),
}
"""Compute resources of each container of a router."""


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """The router of a namespace."""

    image: str = f"{IMAGE_ROUTER}:{VERSION_TAG}"
    """Image of the router: its control process and Envoy."""
    replicas: int = 1
    """Router Pods of each namespace."""
    bind_address: str = "0.0.0.0"  # noqa: S104
    """Address that a router listens on; `$(POD_IP)` where Pods share their host's network."""
    service_type: ServiceType = "ClusterIP"
    """Type of Service `puna-router`: ClusterIP, NodePort or LoadBalancer; an endpoint's own Service
    is always a ClusterIP."""
    tls_secret: str | None = None
    """Secret of type kubernetes.io/tls, in each namespace with an LLMEndpoint, that the router
    serves clients with, on port 443 of its Services; None: plain HTTP on port 80."""
    resources: Mapping[str, Resources] = field(
        default_factory=lambda: dict(DEFAULT_ROUTER_RESOURCES)
    )
    """Compute resources of the router's containers, a JSON object by container (`control`, `envoy`,
    `picker`), for example `{"envoy": {"limits": {"memory": "1Gi"}}}`."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a router's node must have, a JSON object."""
    tolerations: tuple[Mapping[str, str | int], ...] = ()
    """Taints that a router accepts, a JSON list."""
    drain_seconds: int = 30
    """Time that streams get to end when a router stops."""
    strategy: Strategy = Strategy.PREFIX_AFFINITY
    """How a backend is chosen among those with a free slot."""
    queue_max_depth: int = 32
    """Requests that may wait for a slot."""
    queue_timeout_seconds: int = 60
    """Longest wait for a slot."""
    health_interval_seconds: int = 2
    """Time between two health checks of a backend."""
    health_failure_threshold: int = 2
    """Failed checks in a row that exclude a backend."""
    retries: int = 1
    """Attempts on other backends before the first byte."""
    idle_timeout_seconds: int = 300
    """Longest silence of a stream."""
    keep_alive_seconds: int = 15
    """Interval of comments in a stream."""

    @property
    def service_port(self) -> dict[str, str | int]:
        """Port of a Service in front of routers."""
        name, port = ("https", 443) if self.tls_secret else ("http", 80)
        return {"name": name, "port": port, "targetPort": "http", "protocol": "TCP"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator is told from outside."""

    watch_namespace: str | None = None
    """The one namespace to serve; None: all."""
    namespace: str | None = None
    """Namespace that the operator's own Pods run in, which NetworkPolicies let ask llama-servers
    golden prompts; None: it runs outside the cluster."""
    fetch_image: str = f"{IMAGE_PUNA}:{VERSION_TAG}"
    """Image with `puna-fetch`."""
    accelerators: Mapping[Accelerator, AcceleratorProfile] = field(
        default_factory=lambda: dict(DEFAULT_ACCELERATORS)
    )
    """What each kind of hardware means for a Pod; see below."""
    router: RouterSettings = RouterSettings()
    """The router of a namespace."""
    public_url: str = "http://{endpoint}.{namespace}.svc/v1"
    """Base url shown in an endpoint's status; https:// where it is not set and routers have TLS."""
    model_folders: tuple[str, ...] = ()
    """Folders of the nodes that `file://` models and datasets may lie in."""
    training_rendezvous: Rendezvous = "Service"
    """Where the Pods of one run find each other: Service, by cluster DNS; or Volume, by a file on
    the output volume, where there is no cluster DNS."""
    model_cache_host_path: str | None = None
    """Folder of the nodes that keeps fetched models; None: a folder of each Pod."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs, beside public addresses, that models are fetched from and external servers lie in."""
    model_max_bytes: int = 1024**4
    """Largest model that is downloaded, in bytes."""
    progress_deadline_seconds: int = 3600
    """Time that a rollout may take without progress."""
    termination_grace_seconds: int = 60
    """Time that a llama-server gets to end its streams."""
    revision_history_limit: int = 5
    """Retired revisions that are kept."""
    router_ack_timeout_seconds: int = 30
    """Wait for routers that do not answer before an old revision is ended all the same."""
    prometheus_url: str | None = None
    """Prometheus that canaries are judged by, such as `http://prometheus:9090`; None: routers are
    asked themselves."""
    prometheus_token_file: str | None = None
    """File with the bearer token that it wants."""
    workers: int = 8
    """Resources reconciled at once."""
    listen: str = "0.0.0.0:8081"
    """Address of /healthz and /metrics."""
    api_server_host: str | None = None
    """Host of the API server that the operator is connected to."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `PUNA_*` variables.

        Raises:
            SettingsError: a variable has no usable value.
        """
        read = Variables(environ)
        default, router = cls(), RouterSettings()
        made = cls(
            watch_namespace=read.text("WATCH_NAMESPACE", "") or None,
            namespace=read.name("NAMESPACE"),
            fetch_image=read.text("FETCH_IMAGE", default.fetch_image),
            accelerators=_accelerators(read),
            router=RouterSettings(
                image=read.text("ROUTER_IMAGE", router.image),
                replicas=read.number("ROUTER_REPLICAS", router.replicas, at_least=1),
                bind_address=read.text("ROUTER_BIND_ADDRESS", router.bind_address),
                service_type=read.one_of("ROUTER_SERVICE_TYPE", SERVICE_TYPES, router.service_type),
                drain_seconds=read.number("ROUTER_DRAIN_SECONDS", router.drain_seconds),
                tls_secret=read.name("ROUTER_TLS_SECRET"),
                resources=_router_resources(read),
                node_selector=read.json("ROUTER_NODE_SELECTOR", _LABELS, {}),
                tolerations=read.json("ROUTER_TOLERATIONS", _TOLERATIONS, ()),
            ),
            public_url=read.url("PUBLIC_URL", default.public_url),
            model_folders=read.paths("MODEL_FOLDERS"),
            training_rendezvous=read.one_of(
                "TRAINING_RENDEZVOUS", RENDEZVOUS, default.training_rendezvous
            ),
            model_cache_host_path=read.path("MODEL_CACHE_HOST_PATH"),
            allowed_networks=read.networks("ALLOWED_NETWORKS"),
            model_max_bytes=read.number("MODEL_MAX_BYTES", default.model_max_bytes, at_least=1),
            progress_deadline_seconds=read.number(
                "PROGRESS_DEADLINE_SECONDS", default.progress_deadline_seconds, at_least=1
            ),
            termination_grace_seconds=read.number(
                "TERMINATION_GRACE_SECONDS", default.termination_grace_seconds
            ),
            prometheus_url=read.http("PROMETHEUS_URL"),
            prometheus_token_file=read.path("PROMETHEUS_TOKEN_FILE"),
            workers=read.number("WORKERS", default.workers, at_least=1),
            listen=read.address("LISTEN", default.listen),
        )
        if made.router.tls_secret and made.public_url == default.public_url:
            return replace(made, public_url=made.public_url.replace("http:", "https:", 1))
        return made


class _ProfileOverride(Model):
    """Members of a profile that are replaced; camelCase as in the chart's values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: Annotated[str, Field(min_length=1)] = ""
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, str | int], ...] = ()
    resource_name: str | None = None
    runtime_class: str | None = None
    gpu_layers: Annotated[int, Field(ge=0)] = 0
    trainer_image: Annotated[str, Field(min_length=1)] = ""

    def members(self) -> dict[str, Any]:
        """Return those that are set."""
        return self.model_dump(exclude_unset=True)


class _Resources(Resources):
    """Compute resources of a container; a member that does not exist is refused."""

    model_config = ConfigDict(extra="forbid")


_OVERRIDES: Final = TypeAdapter(dict[Accelerator, _ProfileOverride])
_RESOURCES: Final = TypeAdapter(dict[Literal["control", "envoy", "picker"], _Resources])
_LABELS: Final[TypeAdapter[Mapping[str, str]]] = TypeAdapter(Mapping[str, str])
_TOLERATIONS: Final = TypeAdapter(tuple[Mapping[str, str | int], ...])


def _router_resources(read: Variables) -> Mapping[str, Resources]:
    """Read `PUNA_ROUTER_RESOURCES`, a JSON object of overrides by container."""
    given = read.json("ROUTER_RESOURCES", _RESOURCES, {})
    return dict(DEFAULT_ROUTER_RESOURCES) | {
        container: Resources(
            requests=dict(DEFAULT_ROUTER_RESOURCES[container].requests) | resources.requests,
            limits=resources.limits,
        )
        for container, resources in given.items()
    }


def _accelerators(read: Variables) -> Mapping[Accelerator, AcceleratorProfile]:
    """Read `PUNA_ACCELERATORS`, a JSON object of overrides by accelerator."""
    overrides = read.json("ACCELERATORS", _OVERRIDES, {})
    return dict(DEFAULT_ACCELERATORS) | {
        accelerator: replace(DEFAULT_ACCELERATORS[accelerator], **override.members())
        for accelerator, override in overrides.items()
    }
