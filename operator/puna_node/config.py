"""Names that a node agent sets and others select by, and the agent's settings.

Pure: pydantic only. The operator takes label, taint and resource names from here.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

LABEL_ACCELERATOR: Final = "puna.dev/accelerator"
"""On a node: metal, cuda or cpu."""
LABEL_RUNTIME: Final = "puna.dev/runtime"
"""On a node: `native` where an agent runs Pods as processes."""
TAINT_PROVIDER: Final = "virtual-kubelet.io/provider"
"""Taint key of a joined host; its value is `puna-node`, its effect NoSchedule."""
PROVIDER: Final = "puna-node"
RESOURCE_METAL: Final = "puna.dev/metal"
"""Extended resource of a Mac: how many llama-server Pods it may run at once."""
REASON_PORT_IN_USE: Final = "PortInUse"
"""Waiting reason of a container whose port another process of the node holds."""
REASON_NOT_ALLOWED: Final = "NotAllowed"
"""Reason of a Pod outside the agent's allowlists."""


Network: TypeAlias = IPv4Network | IPv6Network


class Document(BaseModel):
    """A frozen document in camelCase that refuses unknown members."""

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
    )


class Profile(Document):
    """What runs in place of a container image."""

    image: str
    """Image repository, without tag or digest."""
    command: tuple[str, ...] = ()
    """The container's `command` has to equal this; empty: it must have none."""
    run: tuple[str, ...] = Field(min_length=1)
    """Argument vector on this host; the container's args follow."""
    drain_slots: bool = False
    """Before SIGTERM wait, within the grace period, until llama-server's `/slots` is idle.

    It marks a llama-server: the policy for its arguments applies.
    """
    flags: tuple[str, ...] | None = None
    """Flags that a Pod may give, in this spelling; absent: every one. Not for a llama-server."""
    scratch_flags: tuple[str, ...] = ()
    """Flags that name a folder whose files say what to run: it has to be an emptyDir of the Pod."""
    path_members: tuple[str, ...] = ()
    """Members of the JSON documents among its arguments that hold paths or file:// addresses: they
    are replaced and have to lie in the Pod's volumes, as in a command line."""
    exec_probes: bool = False
    """Allow probes that run a command of the Pod's author on this host."""


class AgentConfig(Document):
    """Everything a node agent is told."""

    node_name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)
    kubeconfig: str
    """Credentials of `system:node:<node name>`."""
    directory: str
    """Folder of Pods, logs and state; mode 0700."""
    accelerator: str = Field(default="cpu", pattern=r"^(cpu|metal|cuda)$")
    labels: dict[str, str] = {}
    tainted: bool = True
    """Register with the provider taint, so that only Pods that ask for this node land here."""
    extended_resources: dict[str, int] = {}
    """For example `puna.dev/metal: 1`."""
    max_pods: int = Field(default=64, ge=1, le=512)
    address: str | None = None
    """Address of the node; found from the route to the API server if absent."""
    pod_network: str | None = None
    """Loopback range (for example 127.77.3.0/24) that gives every Pod an address of its own.

    Absent: Pods use the node's address.
    """
    port: int = Field(default=10250, ge=0, le=65535)
    """Port of the agent's HTTPS endpoint; 0 takes a free one."""
    serving_certificate: str | None = None
    serving_key: str | None = None
    client_ca: str | None = None
    """CA that the API server's kubelet client certificate must come from."""
    allowed_namespaces: tuple[str, ...] = ()
    """Namespaces whose Pods may run here; empty: every one but kube-*."""
    allowed_host_paths: tuple[str, ...] = ()
    """Host folders that hostPath volumes may name, themselves or below."""
    allowed_networks: tuple[Network, ...] = ()
    """Networks, beside public addresses, that Pods may let puna-fetch connect to; or parts of them.

    What listens there often trusts whoever can reach it.
    """
    profiles: tuple[Profile, ...] = Field(min_length=1)
    lease_seconds: float = Field(default=10, gt=0)
    """Interval of lease renewals."""
    run_as_user: int | None = Field(default=None, ge=1)
    """Unprivileged user id of the processes, where the agent runs as root.

    It has to be able to read and execute what the profiles name, and claims and host folders.
    Absent: processes run as the agent's own user.
    """
    volume_root: str | None = None
    """Folder in which each PersistentVolumeClaim is a folder `<namespace>/<claim>`.

    Absent: Pods with claims are refused.
    """
