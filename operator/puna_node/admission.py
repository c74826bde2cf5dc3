"""Which Pods may run on this host. Pure.

Whoever may create a Pod that this node accepts starts a process here, so everything that is not
named by the agent's settings is refused: other namespaces, other images or commands, other host
folders, and whatever a native process cannot honour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from puna_node.config import PROVIDER, TAINT_PROVIDER, AgentConfig, Network, Profile
from puna_node.manifest import (
    Manifest,
    all_containers,
    container_field_paths,
    init_containers,
    volumes,
)
from puna_node.mounts import is_safe_sub_path, is_within
from puna_node.volume_files import CONTENT_KINDS

PLAIN_VOLUMES: Final = (*CONTENT_KINDS, "emptyDir")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the agent's settings allow."""

    namespaces: tuple[str, ...]
    host_paths: tuple[str, ...]
    profiles: tuple[Profile, ...]
    has_volume_root: bool
    tainted: bool
    networks: tuple[Network, ...] = ()


def policy_of(config: AgentConfig) -> Policy:
    """Policy that the settings express."""
    return Policy(
        namespaces=config.allowed_namespaces,
        host_paths=config.allowed_host_paths,
        profiles=config.profiles,
        has_volume_root=config.volume_root is not None,
        tainted=config.tainted,
        networks=config.allowed_networks,
    )


def refusal(pod: Manifest, policy: Policy) -> str | None:
    """Why the Pod may not run here, naming the field; None if it may."""
    return next((text for check in CHECKS for text in check(pod, policy)), None)


def find_profile(container: Manifest, profiles: tuple[Profile, ...]) -> Profile | None:
    """Profile of a container: same image repository and the same command."""
    repository = image_repository(container.get("image", ""))
    command = tuple(container.get("command") or ())
    return next(
        (p for p in profiles if p.image == repository and p.command == command),
        None,
    )


def image_repository(image: str) -> str:
    """Image without tag and digest: `host:5000/router:1@sha256:..` -> `host:5000/router`."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _namespace(pod: Manifest, policy: Policy) -> Iterator[str]:
    namespace = pod["metadata"]["namespace"]
    if policy.namespaces and namespace not in policy.namespaces:
        yield f"metadata.namespace: {namespace} is not among the namespaces allowed on this node"
    if not policy.namespaces and namespace.startswith("kube-"):
        yield f"metadata.namespace: {namespace} is a system namespace, whose Pods do not run here"


def _toleration(pod: Manifest, policy: Policy) -> Iterator[str]:
    if policy.tainted and not any(
        _tolerates_provider(toleration) for toleration in pod["spec"].get("tolerations") or ()
    ):
        # A Pod made with spec.nodeName never met the scheduler.
        yield f"spec.tolerations: the Pod does not tolerate the taint {TAINT_PROVIDER}={PROVIDER}"


def _tolerates_provider(toleration: Manifest) -> bool:
    if toleration.get("effect") not in {None, "", "NoSchedule"}:
        return False
    key, operator = toleration.get("key"), toleration.get("operator") or "Equal"
    if operator == "Exists":
        return key in {None, "", TAINT_PROVIDER}
    return key == TAINT_PROVIDER and toleration.get("value") == PROVIDER


def _profile(pod: Manifest, policy: Policy) -> Iterator[str]:
    images = {profile.image for profile in policy.profiles}
    for path, container in container_field_paths(pod):
        if find_profile(container, policy.profiles) is not None:
            continue
        repository = image_repository(container.get("image", ""))
        if repository not in images:
            yield f"{path}.image: no profile of this node runs {repository}"
        commands = [p.command for p in policy.profiles if p.image == repository]
        allowed = " or ".join(" ".join(command) or "none" for command in commands)
        yield f"{path}.command: profiles of {repository} on this node allow: {allowed}"


def _host_access(pod: Manifest, _policy: Policy) -> Iterator[str]:
    for field in ("hostPID", "hostIPC"):
        if pod["spec"].get(field):
            yield f"spec.{field}: not allowed on this node"
    for path, container in container_field_paths(pod):
        context = container.get("securityContext") or {}
        if context.get("privileged"):
            yield f"{path}.securityContext.privileged: not allowed on this node"
        if (context.get("capabilities") or {}).get("add"):
            yield f"{path}.securityContext.capabilities.add: not allowed on this node"
        if container.get("workingDir"):
            # Programs load modules and backends from where they start.
            yield f"{path}.workingDir: not allowed on this node, where a process starts in HOME"
        if container.get("volumeDevices"):
            yield f"{path}.volumeDevices: not supported by a node agent"


def _volumes(pod: Manifest, policy: Policy) -> Iterator[str]:
    for index, volume in enumerate(volumes(pod)):
        path = f"spec.volumes[{index}]"
        if "hostPath" in volume:
            host_path = volume["hostPath"]["path"]
            if not is_within(host_path, policy.host_paths):
                yield f"{path}.hostPath.path: {host_path} is outside the folders allowed here"
        elif "persistentVolumeClaim" in volume:
            if not policy.has_volume_root:
                yield f"{path}.persistentVolumeClaim: this node has no folder for claims"
        elif not any(kind in volume for kind in PLAIN_VOLUMES):
            kind = next((key for key in volume if key != "name"), "unknown")
            yield f"{path}.{kind}: volumes of this kind are not supported by a node agent"
        for source in (volume.get("projected") or {}).get("sources") or ():
            if not source.keys() & {"configMap", "secret", "downwardAPI", "serviceAccountToken"}:
                yield f"{path}.projected.sources: {next(iter(source))} is not supported"


def _mounts(pod: Manifest, _policy: Policy) -> Iterator[str]:
    names = {volume["name"] for volume in volumes(pod)}
    for path, container in container_field_paths(pod):
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            field = f"{path}.volumeMounts[{index}]"
            if mount["name"] not in names:
                yield f"{field}.name: no volume {mount['name']}"
            if not mount["mountPath"].startswith("/") or not mount["mountPath"].strip("/"):
                yield f"{field}.mountPath: has to be an absolute path below /"
            if mount.get("subPathExpr"):
                yield f"{field}.subPathExpr: not supported by a node agent, use subPath"
            if not is_safe_sub_path(mount.get("subPath") or ""):
                yield f"{field}.subPath: leaves the volume"


def _unsupported(pod: Manifest, policy: Policy) -> Iterator[str]:
    for index, container in enumerate(init_containers(pod)):
        if container.get("restartPolicy"):
            yield f"spec.initContainers[{index}].restartPolicy: sidecars are not supported"
    if pod["spec"].get("ephemeralContainers"):
        yield "spec.ephemeralContainers: not supported by a node agent"
    for path, container in container_field_paths(pod):
        profile = find_profile(container, policy.profiles)
        for field in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(field) or {}
            if "grpc" in probe:
                yield f"{path}.{field}.grpc: not supported by a node agent"
            if "exec" in probe and not (profile and profile.exec_probes):
                yield f"{path}.{field}.exec: the profile of {container['image']} allows none"
        lifecycle = container.get("lifecycle") or {}
        if lifecycle.get("postStart"):
            yield f"{path}.lifecycle.postStart: not supported by a node agent"


def _names(pod: Manifest, _policy: Policy) -> Iterator[str]:
    for container in all_containers(pod):
        # They become names of folders; the API server has checked them, this host does not trust.
        if not container["name"].replace("-", "").isalnum():
            yield f"container name {container['name']!r} is not a DNS label"
    for volume in volumes(pod):
        if not volume["name"].replace("-", "").isalnum():
            yield f"volume name {volume['name']!r} is not a DNS label"


Check = Callable[[Manifest, Policy], Iterator[str]]

CHECKS: Final[tuple[Check, ...]] = (
    _names,
    _namespace,
    _toleration,
    _profile,
    _host_access,
    _volumes,
    _mounts,
    _unsupported,
)
"""In the order of what a user should hear first."""
