"""Resource types that Puna handles: where they lie on the API server, and how they are watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from puna.api import API_VERSION
from puna.api.llmendpoint import LLMEndpoint
from puna.api.preset import Preset
from puna.api.trainingjob import TrainingJob
from puna.core.naming import BACKEND_KEY_NAME, FIELD_MANAGER, MANAGED_BY


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of object and its paths."""

    api_version: str
    kind: str
    plural: str
    label_selector: str | None = None
    """Labels of those objects that are watched."""
    field_selector: str | None = None
    """Fields of those objects that are watched."""

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """Return the path of a collection, an object or a subresource."""
        prefix = "/apis/" if "/" in self.api_version else "/api/"
        parts = [self.plural, name, subresource]
        scope = f"namespaces/{namespace}/" if namespace else ""
        return f"{prefix}{self.api_version}/{scope}{'/'.join(part for part in parts if part)}"


_OURS: Final = f"{MANAGED_BY}={FIELD_MANAGER}"

ENDPOINTS: Final = ResourceType(API_VERSION, LLMEndpoint.kind, LLMEndpoint.plural)
TRAINING_JOBS: Final = ResourceType(API_VERSION, TrainingJob.kind, TrainingJob.plural)
PRESETS: Final = ResourceType(API_VERSION, Preset.kind, Preset.plural)
PODS: Final = ResourceType("v1", "Pod", "pods", _OURS)
DEPLOYMENTS: Final = ResourceType("apps/v1", "Deployment", "deployments", _OURS)
JOBS: Final = ResourceType("batch/v1", "Job", "jobs", _OURS)
SERVICES: Final = ResourceType("v1", "Service", "services", _OURS)
SECRETS: Final = ResourceType(
    "v1", "Secret", "secrets", field_selector=f"metadata.name={BACKEND_KEY_NAME}"
)
"""The backend keys alone: watched by name, so that rights by `resourceNames` suffice."""
CLAIMS: Final = ResourceType("v1", "PersistentVolumeClaim", "persistentvolumeclaims", _OURS)
"""Those of users are read by name."""
EVENTS: Final = ResourceType("v1", "Event", "events")

CHILDREN: Final = (
    DEPLOYMENTS,
    JOBS,
    ResourceType("apps/v1", "ControllerRevision", "controllerrevisions", _OURS),
    SERVICES,
    ResourceType("v1", "ConfigMap", "configmaps", _OURS),
    ResourceType("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", _OURS),
    ResourceType("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", _OURS),
    ResourceType("v1", "ServiceAccount", "serviceaccounts", _OURS),
    ResourceType("rbac.authorization.k8s.io/v1", "Role", "roles", _OURS),
    ResourceType("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", _OURS),
    SECRETS,
    CLAIMS,
)
"""Everything that a plan may hold."""
WATCHED: Final = (ENDPOINTS, TRAINING_JOBS, PRESETS, PODS, *CHILDREN)
"""Everything that the store holds."""
BY_KIND: Final = {resource.kind: resource for resource in (*WATCHED, EVENTS)}
