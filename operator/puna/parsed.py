"""Parsed resources: every version of a resource is validated once."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import ValidationError

from puna.api.resource import Resource
from puna.core.plan import Manifest

ResourceT = TypeVar("ResourceT", bound=Resource)

ROOM = 4096


class InvalidResourceError(Exception):
    """A resource that the API server let pass and we cannot read; the message names the field."""


class Parsed(Generic[ResourceT]):
    """Models of one kind by uid, of the newest version each."""

    def __init__(self, model: type[ResourceT]) -> None:
        self._model = model
        self._known: dict[str, tuple[str, ResourceT]] = {}

    def parse(self, manifest: Manifest) -> ResourceT:
        """Return a resource as a model.

        A status that another version of the operator wrote and that cannot be read counts as none.

        Raises:
            InvalidResourceError: the spec cannot be read.
        """
        uid, version = manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
        known = self._known.get(uid)
        if known is not None and known[0] == version:
            return known[1]
        resource = self._validate(manifest)
        if len(self._known) >= ROOM:
            self._known.clear()
        self._known[uid] = (version, resource)
        return resource

    def _validate(self, manifest: Manifest) -> ResourceT:
        try:
            return self._model.model_validate(manifest)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
        if "status" in manifest and all(item["loc"][0] == "status" for item in problems):
            return self._validate({k: v for k, v in manifest.items() if k != "status"})
        first = next(item for item in problems if item["loc"][0] != "status")
        field = ".".join(str(part) for part in first["loc"])
        name = manifest["metadata"]["name"]
        raise InvalidResourceError(f"{self._model.kind} {name}: {field}: {first['msg']}")
