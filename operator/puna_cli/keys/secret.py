"""A Secret with API keys, changed member by member through kubectl."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from puna_cli.errors import CommandError
from puna_cli.kubectl import FIELD_MANAGER, Kubectl

ATTEMPTS: Final = 20
"""How often a change is tried anew because somebody else was faster."""
_RACES: Final = ("(Conflict)", "(AlreadyExists)")

Members: TypeAlias = Mapping[str, bytes]
Change: TypeAlias = Mapping[str, bytes | None]
"""New content by member; None: the member goes."""


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One Secret of a namespace."""

    kubectl: Kubectl
    namespace: str
    name: str

    def read(self) -> Members | None:
        """Members of the Secret; None where there is none.

        Raises:
            CommandError: It cannot be read.
        """
        found = self._find()
        return None if found is None else _members(found)

    def change(self, decide: Callable[[Members], Change]) -> None:
        """Change some members, and make the Secret if there is none.

        `decide` sees what is there at that moment: nobody else's change comes in between.

        Raises:
            CommandError: It cannot be written; or `decide` raised it.
        """
        for _ in range(ATTEMPTS):
            found = self._find()
            change = decide({} if found is None else _members(found))
            try:
                if found is None:
                    self._create(change)
                else:
                    self._patch(change, found["metadata"]["resourceVersion"])
            except CommandError as error:
                if not any(race in str(error) for race in _RACES):
                    raise
            else:
                return
        raise CommandError(f"Secret {self.name}: others change it all the time; try again")

    def endpoints(self) -> list[str]:
        """LLMEndpoints that name the Secret.

        Raises:
            CommandError: They cannot be listed.
        """
        text = self.kubectl.run(
            *("get", "llmendpoints", f"--namespace={self.namespace}", "--output=json")
        )
        return sorted(
            item["metadata"]["name"]
            for item in json.loads(text)["items"]
            if item["spec"].get("access", {}).get("apiKeySecretRef", {}).get("name") == self.name
        )

    def _find(self) -> dict[str, Any] | None:
        text = self.kubectl.run(
            *("get", "secret", self.name, f"--namespace={self.namespace}"),
            *("--ignore-not-found", "--output=json"),
        )
        found: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return found

    def _create(self, change: Change) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "type": "Opaque",
            "data": {member: text for member, text in _encoded(change).items() if text},
        }
        self.kubectl.run(
            *("create", f"--field-manager={FIELD_MANAGER}", "-f", "-"), text=json.dumps(manifest)
        )

    def _patch(self, change: Change, version: str) -> None:
        patch = {"metadata": {"resourceVersion": version}, "data": _encoded(change)}
        self.kubectl.run(
            *("patch", "secret", self.name, f"--namespace={self.namespace}"),
            *(f"--field-manager={FIELD_MANAGER}", "--type=merge", f"--patch={json.dumps(patch)}"),
        )


def _members(manifest: Mapping[str, Any]) -> Members:
    return {name: b64decode(text) for name, text in (manifest.get("data") or {}).items()}


def _encoded(change: Change) -> dict[str, str | None]:
    return {
        member: None if content is None else b64encode(content).decode()
        for member, content in sorted(change.items())
    }
