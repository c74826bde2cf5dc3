"""Base classes of every custom resource: models, metadata, references and quantities."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from puna.api import API_VERSION

DNS_1035: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DNS_1123: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"

ObjectName = Annotated[str, Field(pattern=DNS_1123, min_length=1, max_length=253)]
"""Name of an object of Kubernetes."""


def _bare_number(value: object) -> object:
    """Return a bare number as text, so that `cpu: 2` is read as it is meant."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(
        pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
        max_length=32,
        json_schema_extra={"x-kubernetes-int-or-string": True},
    ),
    BeforeValidator(_bare_number),
]
"""Amount in Kubernetes' notation, for example 500m, 2 or 24Gi."""


class Rule(NamedTuple):
    """CEL validation rule of a model: an expression over `self` and the message of its refusal."""

    rule: str
    message: str
    field_path: str | None = None
    reason: str | None = None
    """FieldValueRequired or FieldValueForbidden; absent means FieldValueInvalid."""


class Column(NamedTuple):
    """Printer column of `kubectl get`; priority 1 shows with `-o wide` alone."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str | None = None


class Model(BaseModel):
    """A frozen model in camelCase whose attribute docstrings become descriptions.

    Unknown members are ignored on reading, so that a newer CRD does not break an older operator.
    """

    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
    )
    cel_rules: ClassVar[tuple[Rule, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the members that are set, in API spelling."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class LocalObjectReference(Model):
    """Name of another object in the same namespace."""

    name: ObjectName
    """Name of the object."""


class SecretKeyReference(Model):
    """One member of a Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)] = "token"
    """Name of the member."""


class ObjectMeta(Model):
    """What Puna reads of an object's metadata."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    resource_version: str = ""


class Resource(Model):
    """A namespaced custom resource of group puna.dev."""

    kind: ClassVar[str]
    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = ()
    scale: ClassVar[tuple[str, str, str] | None] = None
    """Paths of the scale subresource: spec replicas, status replicas, label selector."""
    api_version: ClassVar[str] = API_VERSION

    metadata: ObjectMeta
