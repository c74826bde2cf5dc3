"""Small model files that the node of a test cluster may read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.gguf_factory import write_slow_gguf, write_tiny_gguf


@dataclass(frozen=True)
class ModelFile:
    """A model file and its digest."""

    path: Path
    sha256: str

    @property
    def source(self) -> dict[str, Any]:
        """`spec.model` of an LLMEndpoint."""
        return {"uri": f"file://{self.path}", "sha256": self.sha256}


@dataclass(frozen=True)
class Models:
    """Files of one folder, each written when a test first asks for it."""

    folder: Path

    @cached_property
    def tiny(self) -> ModelFile:
        """Loaded in a moment, thousands of tokens a second."""
        path = self.folder / "tiny.gguf"
        return ModelFile(path, write_tiny_gguf(path))

    @cached_property
    def other(self) -> ModelFile:
        """As fast as `tiny`, with another digest."""
        path = self.folder / "other.gguf"
        return ModelFile(path, write_tiny_gguf(path, seed=1))

    @cached_property
    def slow(self) -> ModelFile:
        """Slow enough to do something while a stream runs."""
        path = self.folder / "slow.gguf"
        return ModelFile(path, write_slow_gguf(path))

    @cached_property
    def stand_in(self) -> ModelFile:
        """A name that has the stand-in started in place of llama-server."""
        path = self.folder / "stand-in.gguf"
        return ModelFile(path, write_tiny_gguf(path))
