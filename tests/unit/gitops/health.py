"""What Argo CD and Flux say of an object, by the files that are shipped for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

# The package itself may be that of Envoy's protocol files, which has the same name.
from cel.cel import evaluate
from lupa.lua51 import LuaRuntime

from puna.core.plan import Manifest

GITOPS: Final = Path(__file__).parents[3] / "gitops"
LIBRARIES: Final = ("coroutine", "debug", "io", "math", "string")
"""What Argo CD leaves out of the Lua that it runs health checks in."""


class ArgoCD:
    """The health checks of `argocd-cm.yaml`, run by Lua 5.1."""

    def __init__(self) -> None:
        data = yaml.safe_load((GITOPS / "argocd-cm.yaml").read_text())["data"]
        prefix = "resource.customizations.health.puna.dev_"
        self._checks: dict[str, Any] = {}
        self._lua = LuaRuntime(unpack_returned_tuples=True)
        for library in LIBRARIES:
            self._lua.execute(f"{library} = nil")
        for name, source in data.items():
            assert name.startswith(prefix)
            self._checks[name.removeprefix(prefix)] = self._lua.eval(f"function(obj) {source} end")

    @property
    def kinds(self) -> set[str]:
        """Kinds that it knows."""
        return set(self._checks)

    def __call__(self, manifest: Manifest) -> tuple[str, str]:
        """Return status and message of an object."""
        answer = self._checks[manifest["kind"]](self._lua.table_from(manifest, recursive=True))
        return answer.status, answer.message


class Flux:
    """The expressions of `flux-kustomization.yaml`, in the order that Flux evaluates them."""

    def __init__(self) -> None:
        spec = yaml.safe_load((GITOPS / "flux-kustomization.yaml").read_text())["spec"]
        self._expressions = {item["kind"]: item for item in spec["healthCheckExprs"]}

    @property
    def kinds(self) -> set[str]:
        """Kinds that it knows."""
        return set(self._expressions)

    def __call__(self, manifest: Manifest) -> str:
        """Return the status of an object; Flux waits where an expression cannot be evaluated."""
        status = manifest.get("status", {})
        observed = status.get("observedGeneration")
        if observed is not None and observed != manifest["metadata"]["generation"]:
            return "InProgress"
        expressions = self._expressions[manifest["kind"]]
        for name, meaning in (("inProgress", "InProgress"), ("failed", "Failed")):
            if name in expressions and self._holds(expressions[name], manifest):
                return meaning
        return "Current" if self._holds(expressions["current"], manifest) else "InProgress"

    @staticmethod
    def _holds(expression: str, manifest: Manifest) -> bool:
        try:
            return bool(evaluate(expression, manifest))
        except RuntimeError:
            if "status" in manifest:
                raise
            return False
