"""Validation of documents by the real Envoy, before anything of them is published."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Final

from puna_router.config import EndpointConfig
from puna_router.control.binary import QUIET
from puna_router.control.static import shape, static_configuration

TIMEOUT: Final = 60.0
"""Longest validation, in seconds; a usual one takes 0.1."""


class ValidationFailedError(Exception):
    """Envoy could not be asked, which says nothing about the documents."""


class Validator:
    """Knows which documents Envoy takes, and asks it about each shape once."""

    def __init__(self, envoy: str) -> None:
        self._envoy = envoy
        self._known: dict[str, str | None] = {}
        self.runs = 0
        """Times that Envoy was asked."""

    def verdict(self, config: EndpointConfig) -> str | None:
        """Why the document is refused; None if it is not.

        Raises:
            KeyError: Its shape has not been validated.
        """
        return self._known[_key(config)]

    def knows(self, config: EndpointConfig) -> bool:
        """Whether there is a verdict on the document."""
        return _key(config) in self._known

    def refuse(self, config: EndpointConfig, message: str) -> None:
        """Remember that the running Envoy refused the document."""
        self._known[_key(config)] = message

    def forget_all_but(self, configs: list[EndpointConfig]) -> None:
        """Drop the verdicts on shapes that are gone."""
        keep = {_key(config) for config in configs}
        self._known = {key: verdict for key, verdict in self._known.items() if key in keep}

    async def validate(self, configs: list[EndpointConfig]) -> None:
        """Get a verdict on each document: all at once, and one by one where that fails.

        Raises:
            ValidationFailedError: Envoy did not run.
        """
        unknown = {_key(config): config for config in configs if not self.knows(config)}
        if not unknown:
            return
        verdict = await self._ask(tuple(unknown.values()))
        if verdict is None or len(unknown) == 1:
            self._known.update(dict.fromkeys(unknown, verdict))
            return
        for key, config in unknown.items():
            self._known[key] = await self._ask((config,))

    async def _ask(self, configs: tuple[EndpointConfig, ...]) -> str | None:
        try:
            document = static_configuration(tuple(shape(config) for config in configs))
        except ValueError as error:
            return f"the document cannot be rendered: {error}"
        self.runs += 1
        with tempfile.TemporaryDirectory(prefix="puna-router-") as folder:
            path = Path(folder) / "envoy.json"
            path.write_text(json.dumps(document), "utf-8")
            return await self._run(path)

    async def _run(self, path: Path) -> str | None:
        process = await asyncio.create_subprocess_exec(
            self._envoy,
            *("--mode", "validate", "--config-path", str(path), *QUIET),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
        except (TimeoutError, asyncio.CancelledError) as error:
            process.kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise ValidationFailedError(f"envoy took over {TIMEOUT:.0f} s") from None
            raise
        if process.returncode == 0:
            return None
        text = output.decode(errors="replace")
        if process.returncode is None or process.returncode < 0 or "error initializing" not in text:
            raise ValidationFailedError(f"envoy ended with {process.returncode}: {text[-500:]}")
        return reason(text)


def reason(output: str) -> str:
    """What Envoy complains of, from the output of a failed validation."""
    found = re.search(r"error initializing configuration '[^']*': (.*)", output, re.DOTALL)
    text = found.group(1) if found else output
    if text.startswith("goo.gle/debug"):  # the whole document, and what is wrong at its end
        text = text.rpartition("\n: ")[2]
    return " ".join(text.split())[:1000]


def _key(config: EndpointConfig) -> str:
    return shape(config).to_json()
